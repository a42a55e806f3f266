import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cgplugin import UserError
from openmm_integration.ground_truth.worker_pool import Tell, run_jobs

PROGRAM = """
import signal, sys
from tests.openmm_integration.test_worker_pool import endless
from openmm_integration.ground_truth.worker_pool import run_jobs
if __name__ == "__main__":
    # a shell starts what runs in the background without Ctrl-C, and that is inherited
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_jobs(endless, sys.argv[1:], 2, lambda amount: None)
"""


def count(job: int, tell: Tell) -> None:
    if job < 0:
        raise UserError("a negative job")
    for _ in range(job):
        tell(0.5)


def endless(job: str, tell: Tell) -> None:
    Path(job).write_text(str(os.getpid()))
    while job:
        tell(1.0)
        time.sleep(0.01)


def endless_or_wrong(job: str, tell: Tell) -> None:
    if job:
        endless(job, tell)
    raise UserError("a wrong job")


def is_alive(pid: int) -> bool:
    try:
        # a killed process whose parent has not asked for it yet is dead all the same
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_all_is_done_and_told(workers: int) -> None:
    told: list[float] = []
    run_jobs(count, [3, 4, 5], workers, told.append)
    assert sum(told) == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_the_error_of_a_job_is_raised(workers: int) -> None:
    with pytest.raises(UserError, match="a negative job"):
        run_jobs(count, [3, -1, 5], workers, lambda _: None)


def test_a_failing_job_stops_the_others(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(UserError, match="a wrong job"):
        run_jobs(endless_or_wrong, [str(tmp_path / "pid"), ""], 2, lambda _: None)
    assert time.monotonic() - begin < 30


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, sent: signal.Signals) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM, *map(str, files)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not all(file.exists() and file.read_text() for file in files) and time.monotonic() < deadline:
        time.sleep(0.05)
    pids = [int(file.read_text()) for file in files]
    assert all(map(is_alive, pids))
    parent.send_signal(sent)
    parent.wait(timeout=30)
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))
