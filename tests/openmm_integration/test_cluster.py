"""Tasks on Dask workers: real processes, some of which die."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from distributed import Client, LocalCluster

from cgplugin import UserError
from cgplugin.cluster.clusters import Workers, connected, load_cluster
from cgplugin.cluster.tasks import run_tasks
from openmm_integration.ground_truth.generate import GenerateSpec, generate
from tests.conftest import POLYMER, ROOT, run_cli
from tests.dask_tasks import Item, count, endless, misbehave

HERE, TWO = Workers(number=1), Workers(number=2)

PROGRAM = """
import signal, sys
from cgplugin.cluster.clusters import Workers
from tests.dask_tasks import Item, endless
from cgplugin.cluster.tasks import run_tasks
if __name__ == "__main__":
    # a shell starts what runs in the background without Ctrl-C, and that is inherited
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_tasks(endless, [Item(name, name) for name in sys.argv[1:]], Workers(number=2), lambda amount: None)
"""


def is_alive(pid: int) -> bool:
    try:
        # a killed process whose parent has not asked for it yet is dead all the same
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [HERE, TWO], ids=["here", "two"])
def test_all_is_done_and_told(workers: Workers) -> None:
    told: list[float] = []
    lines: list[str] = []
    run_tasks(count, [Item(f"n{n}", str(n)) for n in (3, 4, 5)], workers, told.append, lines.append)
    assert sum(told) == 6
    assert all(line.startswith("Dask's dashboard: http://127.0.0.1:") for line in lines)
    assert len(lines) == (workers is TWO)


def test_failures_are_named_and_do_not_stop_the_others(tmp_path: Path) -> None:
    """An exception and a death are tried twice, the user's mistake once; innocents next to the deadly are not blamed."""
    names = ["good0", "deadly", "once", "good1", "wrong", "dies-once", "refused", "good2"]
    tasks = [Item(name, str(tmp_path / name)) for name in names]
    told: list[float] = []
    with pytest.raises(RuntimeError) as caught:
        run_tasks(misbehave, tasks, TWO, told.append)
    text = str(caught.value)
    assert text.startswith("3 of 8 tasks failed, the others are done (start again to try once more): ")
    assert sorted(text.split(": ", 1)[1].split("; ")) == [
        "deadly: its worker died, and so did the next one (out of memory, perhaps)",
        "refused: a spec that makes no sense",
        "wrong: ValueError: of ours",
    ]
    attempts = {name: len((tmp_path / name).read_text()) for name in names}
    assert attempts == {
        "good0": 1, "good1": 1, "good2": 1, "refused": 1, "deadly": 2, "wrong": 2, "once": 2, "dies-once": 2,
    }  # fmt: skip


def test_failures_in_this_process(tmp_path: Path) -> None:
    names = ["wrong", "once", "good", "refused"]
    told: list[float] = []
    tasks = [Item(name, str(tmp_path / name)) for name in names]
    with pytest.raises(RuntimeError, match=r"^2 of 4 tasks failed.*: wrong: ValueError: of ours; refused: a spec that"):
        run_tasks(misbehave, tasks, HERE, told.append)
    assert {name: len((tmp_path / name).read_text()) for name in names} == dict(zip(names, (2, 2, 1, 1), strict=True))
    # what a failed attempt told was taken back, but for the user's mistake
    assert sum(told) == 3
    with pytest.raises(UserError, match=r"^refused: a spec that makes no sense$"):
        run_tasks(misbehave, [tasks[-1]], HERE, told.append)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, sent: signal.Signals) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    parent = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, files)], stderr=subprocess.DEVNULL, cwd=ROOT, start_new_session=True
    )
    wait_until(lambda: parent.poll() is not None or all(file.exists() and file.read_text() for file in files))
    pids = [int(file.read_text()) for file in files]
    assert all(map(is_alive, pids))
    if sent is signal.SIGINT:
        # as a terminal does: to the workers as well
        os.killpg(parent.pid, sent)
    else:
        parent.send_signal(sent)
    parent.wait(timeout=600)
    wait_until(lambda: not any(map(is_alive, pids)))


def dask(*words: object) -> subprocess.Popen[bytes]:
    """Start ``dask scheduler`` or ``dask worker``."""
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *map(str, words)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def running_scheduler(folder: Path) -> Iterator[tuple[Callable[[], str], Callable[..., subprocess.Popen[bytes]]]]:
    """A ``dask scheduler`` on this host alone: a function that waits for its address, and one that starts a worker.

    A worker waits for the scheduler's file: start workers first and ask for the address afterwards, and all the processes,
    which take long to import what they need on a busy machine, start side by side.
    """
    file = folder / "scheduler.json"
    started = [
        dask("scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file),
    ]

    def worker(*options: object) -> subprocess.Popen[bytes]:
        words = ("--no-nanny", "--no-dashboard", "--nthreads", 1, *options)
        started.append(dask("worker", *words, "--scheduler-file", file, "--local-directory", folder))
        return started[-1]

    def address() -> str:
        wait_until(file.exists)
        return str(json.loads(file.read_text())["address"])

    try:
        yield address, worker
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of all files of generated systems; the headers of DCD and PDB files have the date."""
    skip = {".dcd": 300, ".pdb": 80}
    return {
        str(path.relative_to(folder)): path.read_bytes()[skip.get(path.suffix, 0) :]
        for path in sorted(folder.glob("*/*"))
    }


def test_killed_worker_costs_only_what_it_was_at(tmp_path: Path) -> None:
    """Workers of a real scheduler, one killed in mid-run; then the program, which goes on with what is missing."""
    text = (
        "n_systems: 8\nn_units: 6\nlength: 20\nrecording_interval: 1\nrelaxation: 5\nchains_per_context: 1\n"
        "polymer_class: II\nseed: 3\n"
    )
    (tmp_path / "spec.yaml").write_text(text)
    out = tmp_path / "out"
    with running_scheduler(tmp_path) as (address, start_worker):
        # they import OpenMM as they start, and not one after the other in front of their first task
        doomed, _ = (start_worker("--preload", "openmm_integration.ground_truth.generate") for _ in range(2))
        alone = generate(GenerateSpec(**yaml.safe_load(text)), tmp_path / "alone", workers=1, platform="CPU", threads=1)
        with Client(address()) as client:
            client.wait_for_workers(2)
            words = ["generate", "spec.yaml", "--out", "out", "--platform", "CPU", "--threads", 1, "--dask", address()]
            command = [sys.executable, "-m", "cgplugin", *map(str, words)]
            program = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            # both at work, and something written
            wait_until(
                lambda: len([keys for keys in client.processing().values() if keys]) == 2 and any(out.glob("0*"))
            )
        doomed.kill()
        finished = {path: path.stat().st_mtime_ns for path in out.glob("0*")}
        assert len(finished) < 8
        _, errors = program.communicate(timeout=600)
        assert program.returncode == 0, errors
        assert {path: path.stat().st_mtime_ns for path in finished} == finished
        assert contents(out) == contents(tmp_path / "alone")
        assert len(contents(out)) == 3 * len(alone)


def test_program_killed_elsewhere_is_noticed_by_workers(tmp_path: Path) -> None:
    """Workers of a scheduler outlive the program; they leave what nobody waits for, and are free for the next one."""
    with running_scheduler(tmp_path) as (address, start_worker):
        start_worker()
        code = PROGRAM.replace("number=2", repr(address()))
        words = [sys.executable, "-c", code, str(tmp_path / "a")]
        program = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
        wait_until((tmp_path / "a").exists)
        program.kill()
        program.wait()
        wait_until((tmp_path / "a.stopped").exists)
        told: list[float] = []
        run_tasks(count, [Item("n", "4")], Workers(address()), told.append)
        assert sum(told) == 2


def test_scheduler_that_goes_away_is_one_line(tmp_path: Path) -> None:
    with running_scheduler(tmp_path) as (address, start_worker):
        start_worker()
        with Client(address()) as client:
            pid = client.run_on_scheduler(os.getpid)
        with pytest.raises(UserError, match="the Dask scheduler went away: start again to do what is missing"):
            run_tasks(
                endless, [Item("a", str(tmp_path / "a"))], Workers(address()), lambda _: os.kill(pid, signal.SIGKILL)
            )


def test_worker_with_several_threads_is_refused() -> None:
    with (
        LocalCluster(1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        pytest.raises(UserError, match=r"worker 0 has 2 threads, .*: start it with --nthreads 1"),
    ):
        run_tasks(count, [Item("n", "1")], Workers(cluster.scheduler_address), lambda _: None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("local", 0), "workers is 0, expected at least 1"),
        (("tcp://localhost:1", 2), "has workers of its own: leave --workers out"),
        (("missing.yaml",), "--dask missing.yaml: expected local, an address as tcp://host:8786, or a YAML file"),
        ((None, 1, 0), "threads is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Workers(*arguments)


def test_no_scheduler_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgplugin.cluster.clusters.CONNECTION_TIMEOUT", 0.5)
    with pytest.raises(UserError, match=r"^tcp://127\.0\.0\.1:1: no Dask scheduler answers there"):
        run_tasks(count, [Item("n", "1")], Workers("tcp://127.0.0.1:1"), lambda _: None)


def test_slurm_script_of_the_example(tmp_path: Path) -> None:
    """What sbatch would get; Slurm is not there, and is not asked before the cluster's loop runs."""
    described = yaml.safe_load((ROOT / "examples" / "slurm.yaml").read_text())
    # a machine without InfiniBand
    described["options"]["interface"] = "lo"
    (tmp_path / "slurm.yaml").write_text(yaml.safe_dump(described))
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    asked = tmp_path / "asked"
    (bin_folder / "sbatch").write_text(f'#!/bin/sh\ncp "$1" {asked}.$$\necho Submitted batch job 77\n')
    (bin_folder / "scancel").write_text("#!/bin/sh\n")
    for program in bin_folder.iterdir():
        program.chmod(0o755)
    path = os.environ["PATH"]
    try:
        os.environ["PATH"] = f"{bin_folder}:{path}"
        with connected(Workers(str(tmp_path / "slurm.yaml")), 1) as client:
            wait_until(lambda: len(list(tmp_path.glob("asked.*"))) == 10)
            script, allowed = client.cluster.job_script(), client.cluster.scheduler.allowed_failures
    finally:
        os.environ["PATH"] = path
    lines = script.splitlines()
    for line in ("-p compute", "-A polymers", "--cpus-per-task=16", "--mem=30G", "-t 24:00:00"):
        assert f"#SBATCH {line}" in lines
    assert "source $HOME/cgplugin/.venv/bin/activate" in lines
    assert "--nthreads 1" in lines[-1]
    assert "--nworkers 16" in lines[-1]
    assert "--lifetime 23h50m" in lines[-1]
    assert allowed == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cluster": "Slurm"}, "unknown cluster 'Slurm', expected one of .*PBSCluster.*SLURMCluster"),
        ({"jobs": 0}, "jobs is 0, expected at least 1"),
        ({"jobs": "ten"}, "jobs is 'ten', expected a int"),
        ({"workers": 3}, "expected the entries cluster, jobs, options"),
        ({"options": {"cores": 4, "processes": 1, "memory": "1GB"}}, "4 cores for 1 processes: give cores and"),
        ({"options": {"cores": 1, "processes": 1, "memory": "1GB", "que": "a"}}, "SLURMCluster refuses its options"),
    ],
)
def test_bad_cluster_files(tmp_path: Path, changes: dict, message: str) -> None:
    described = yaml.safe_load((ROOT / "examples" / "slurm.yaml").read_text())
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(described | changes))
    with pytest.raises(UserError, match=rf"bad\.yaml: .*{message}") as caught:
        load_cluster(tmp_path / "bad.yaml")
    assert "\n" not in str(caught.value)


def test_evaluation_in_batches_does_not_depend_on_the_workers(tmp_path: Path) -> None:
    """Two batches of one system: the same runs here and on two workers; resumed, there is nothing left to do."""
    references = [word for name in ("000", "006") for word in ("--reference", POLYMER / "devtest" / name)]
    words = ["evaluate", ROOT / "models" / "polymer.pt", *references, "--time", "500tau", "--batch", 1]
    for name, who in (("one", ["--workers", 1]), ("two", ["--workers", 2]), ("two", ["--workers", 2, "--resume"])):
        done = run_cli(*words, *who, "--out", tmp_path / name)
        assert done.returncode == 0, done.stderr
    for system in ("000", "006"):
        one, two = ((tmp_path / name / "runs" / system / "properties.csv").read_bytes() for name in ("one", "two"))
        assert one == two
    assert len({(tmp_path / "one" / "runs" / name / "properties.csv").read_bytes() for name in ("000", "006")}) == 2
    again = run_cli(*words, "--out", tmp_path / "two")
    assert again.returncode == 2
    assert "exists already: use --resume to go on" in again.stderr
    other = run_cli(*words[:-1], 2, "--resume", "--out", tmp_path / "two")
    assert "holds an evaluation with a batch of another size" in other.stderr
