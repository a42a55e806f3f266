"""``cgplugin simulate`` killed with SIGKILL at random moments, resumed, and compared byte by byte with a run left alone.

    python -m benchmarks.restarts.kill_test --kills 50 --out benchmarks/restarts/result.json

Half of the kills hit four chains of models/polymer.pt, half the box of models/electrolyte.pt, whose steps are refined, both at
once. One in four comes at any moment from the start of the process, when it may be loading or cutting files back to the
checkpoint; the rest come after a new checkpoint, within the time of one and a half more.
"""

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import openmm

from tests.killed_runs import assert_same_files, kill

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT.parent / "shared"
EARLY = 0.25
"""Share of the kills that come at any moment from the start of the process."""

CHECKPOINTS_PER_KILL = 3
"""Length of a run: a kill lets it go on by 1 to 2.5 checkpoints, so that it lasts until the last one."""


@dataclass(frozen=True)
class Case:
    """What is simulated.

    Attributes
    ----------
    name : str
    arguments : tuple of str
        Of ``cgplugin simulate``, without the time.
    time_step : float
        Of the model, in the unit of its data.
    interval : int
        Steps between checkpoints.
    folders : tuple of str
        Where the files are, below ``--out``.
    """

    name: str
    arguments: tuple[str, ...]
    time_step: float
    interval: int
    folders: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a case: kills of a running process, how many of them before it had made a checkpoint, and the rest."""

    name: str
    kills: int
    early_kills: int
    steps: int
    identical_folders: int
    startup_seconds: float


def _case(name: str, folder: Path, time_step: float, interval: int, replicas: int, *more: str) -> Case:
    model = ROOT / "models" / f"{name}.pt"
    words = [str(model), str(folder / "topology.data"), "--start", str(folder / "traj.lammpstrj.bz2")]
    words += ["--replicas", str(replicas), "--seed", "5", "--threads", "1", "--platform", "CPU", *more]
    folders = [folder.name] if replicas == 1 else [f"{folder.name}/replica-{n}" for n in range(replicas)]
    return Case(name, tuple(words), time_step, interval, tuple(folders))


CASES = (
    _case("polymer", REFERENCE / "polymer" / "devtest" / "000", 5.0, 100, 4),
    _case(
        "electrolyte", REFERENCE / "electrolyte" / "val" / "000", 10.0, 10, 1,
        "--lammps-units", "lj", "--md-time-step", "0.01",
    ),
)  # fmt: skip


def run_case(case: Case, kills: int, folder: Path) -> Outcome:
    """Simulate a case undisturbed and with kills, and compare what they wrote."""
    n_checkpoints = CHECKPOINTS_PER_KILL * kills
    steps = n_checkpoints * case.interval
    command = [sys.executable, "-m", "cgplugin", "simulate", *case.arguments, "--time", f"{steps * case.time_step:g}"]
    command += ["--checkpoint-interval", str(case.interval), "--report-interval", "5", "--resume", "--out"]
    alone, killed = folder / case.name / "alone", folder / case.name / "killed"
    startup, rest = times_of_run([*command, str(alone)], alone / "progress.json")
    words, progress = [*command, str(killed)], killed / "progress.json"
    dice = random.Random(case.name)  # noqa: S311 (moments to kill at)
    done = early = 0
    for _ in range(kills):
        if dice.random() < EARLY:
            hit = kill(words, dice.uniform(0, startup))
            early += hit
        else:
            hit = kill(words, dice.uniform(0, 1.5 * rest / n_checkpoints), progress)
        done += hit
        kept = json.loads(progress.read_text())["step"] if progress.exists() else 0
        print(f"{case.name}: killed {done} times, {kept} of {steps} steps kept", flush=True)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    for name in case.folders:
        assert_same_files(alone / name, killed / name)
    return Outcome(case.name, done, early, steps, len(case.folders), round(startup, 1))


def times_of_run(words: list[str], progress: Path) -> tuple[float, float]:
    """Run a command to its end; give the seconds until its first checkpoint and from there on."""
    begin = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while process.poll() is None and not progress.exists():
        time.sleep(0.01)
    startup = time.perf_counter() - begin
    if process.wait():
        raise SystemExit(f"the undisturbed run failed with status {process.returncode}")
    return startup, time.perf_counter() - begin - startup


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--out", type=Path, help="JSON file for the result.")
    arguments = parser.parse_args()
    begin = time.perf_counter()
    shares = [arguments.kills - arguments.kills // 2, arguments.kills // 2]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(CASES)) as pool:
        outcomes = list(pool.map(run_case, CASES, shares, [Path(folder)] * len(CASES)))
    total, folders = sum(o.kills for o in outcomes), sum(o.identical_folders for o in outcomes)
    print(f"killed {total} times; all files of {folders} folders are identical to those of the runs left alone")
    if arguments.out is not None:
        content = {
            "kills": total,
            "minutes": round((time.perf_counter() - begin) / 60, 1),
            "python": platform.python_version(),
            "openmm": openmm.version.version,
            "cases": [asdict(outcome) for outcome in outcomes],
        }
        arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    if total < arguments.kills:
        raise SystemExit(f"only {total} of {arguments.kills} kills hit a running process")


if __name__ == "__main__":
    main()
