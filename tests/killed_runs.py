"""``cgplugin simulate`` killed at random moments, and the files that it then makes all the same."""

import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

FILES = ("trajectory.dcd", "properties.csv", "topology.pdb", "mapping.json")


def kill_and_finish(words: Sequence[str], progress: Path, times: int, longest_wait: float) -> int:
    """Kill a command several times, each time at random after a new checkpoint, and let it finish in the end.

    Parameters
    ----------
    words : sequence of str
        The command, which goes on where it was.
    progress : Path
        File that changes with every checkpoint.
    times : int
    longest_wait : float
        Seconds after the checkpoint.

    Returns
    -------
    int
        How often it was still running.
    """
    dice = random.Random(0)
    kills = 0
    for _ in range(times):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        before = progress.read_text() if progress.exists() else ""
        while process.poll() is None and (not progress.exists() or progress.read_text() == before):
            time.sleep(0.005)
        time.sleep(dice.uniform(0, longest_wait))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0
    return kills


def assert_same_files(one: Path, other: Path) -> None:
    """Two runs have written the same bytes."""
    for file in FILES:
        a, b = ((folder / file).read_bytes() for folder in (one, other))
        # the header of a DCD file, and the first line of a PDB file, have the date
        skip = {"trajectory.dcd": 300, "topology.pdb": 80}.get(file, 0)
        assert a[skip:] == b[skip:], file
