"""``cgplugin simulate`` killed at random moments, and the files that it then makes all the same."""

import json
import random
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

FILES = ("trajectory.dcd", "properties.csv", "topology.pdb", "mapping.json")
CLOCKED = ("seconds_per_step", "core_seconds_per_step")
"""Entries of ``summary.json`` that say how long a run took."""


def kill(words: Sequence[str], wait: float, progress: Path | None = None) -> bool:
    """Start a command and send it SIGKILL.

    Parameters
    ----------
    words : sequence of str
    wait : float
        Seconds from the start, or from the first change of ``progress``.
    progress : Path, optional
        File that changes with every checkpoint.

    Returns
    -------
    bool
        Whether it was still running.
    """
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    if progress is not None:
        before = progress.read_text() if progress.exists() else ""
        while process.poll() is None and (not progress.exists() or progress.read_text() == before):
            time.sleep(0.005)
    time.sleep(wait)
    running = process.poll() is None
    process.kill()
    process.wait()
    return running


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
    kills = sum(kill(words, dice.uniform(0, longest_wait), progress) for _ in range(times))
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0
    return kills


def assert_same_files(one: Path, other: Path) -> None:
    """Two runs have written the same bytes; ``summary.json`` but for the time that they took."""
    for file in FILES:
        a, b = ((folder / file).read_bytes() for folder in (one, other))
        # the first line of a PDB file has the date
        skip = 80 if file == "topology.pdb" else 0
        assert a[skip:] == b[skip:], file
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in (one, other))
    for summary in (first, second):
        for name in CLOCKED:
            summary.pop(name, None)
    assert first == second
