"""Where tasks are done: workers on this machine, a running Dask scheduler, or jobs of a batch system."""

import inspect
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from cgplugin.errors import UserError, one_line

if TYPE_CHECKING:
    from dask_jobqueue import JobQueueCluster
    from distributed import Client

LOCAL = "local"

ALLOWED_DEATHS = 1
"""Workers that a task may take with it and still be tried again, on schedulers that are started here."""

RESTART_TIMEOUT = "10 minutes"
"""Until a worker of this machine that died is given up."""

CONNECTION_TIMEOUT = 30
"""Seconds until a scheduler must have answered."""


@dataclass(frozen=True)
class Workers:
    """Who does the tasks.

    Attributes
    ----------
    dask : str or None
        ``local``: processes of this machine; ``tcp://HOST:PORT`` (or ``tls://``): workers of a running scheduler; a YAML file:
        jobs of a batch system, see `load_cluster`. None: as ``local``, or no other process where one worker is enough.
    number : int or None
        Processes of this machine; by default one per core. Others have their number from elsewhere.
    threads : int
        Of each of them: this many cores count as one.

    Raises
    ------
    UserError
        If a number makes no sense, or does not apply.
    """

    dask: str | None = None
    number: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        for name, value in (("workers", self.number), ("threads", self.threads)):
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}, expected at least 1")
        if self.number is not None and self.dask not in (None, LOCAL):
            raise UserError(f"workers is {self.number}, but {self.dask} has workers of its own: leave --workers out")
        if self.dask is not None and self.dask != LOCAL and "://" not in self.dask and not Path(self.dask).is_file():
            raise UserError(f"--dask {self.dask}: expected local, an address as tcp://host:8786, or a YAML file")

    def on_this_machine(self, n_tasks: int) -> int:
        """Number of processes of this machine."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(self.number or cores // self.threads, n_tasks))


@contextmanager
def connected(workers: Workers, n_tasks: int) -> Iterator["Client"]:
    """Give a client of the workers; those that were started for it end with the context, or with this process.

    Parameters
    ----------
    workers : Workers
    n_tasks : int
        More local workers than that are not started.

    Raises
    ------
    UserError
        If there is no scheduler at the address, or the file describes no cluster.
    """
    import dask
    from distributed import Client, LocalCluster

    if workers.dask is not None and "://" in workers.dask:
        try:
            client = Client(workers.dask, timeout=CONNECTION_TIMEOUT)
        except (OSError, ValueError) as error:
            raise UserError(f"{workers.dask}: no Dask scheduler answers there ({one_line(error)})") from error
        with client:
            yield client
        return
    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_DEATHS,
        # a worker that died is started anew, which takes long on a busy machine: it must not be taken for lost meanwhile
        "distributed.deploy.lost-worker-timeout": RESTART_TIMEOUT,
    }
    with dask.config.set(settings):
        if workers.dask in (None, LOCAL):
            cluster: Any = LocalCluster(
                n_workers=workers.on_this_machine(n_tasks),
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                # shares of the memory are no limits: systems differ, and the operating system knows when there is none left
                memory_limit=0,
                # what fails is reported by name
                silence_logs=logging.CRITICAL,
            )
        else:
            cluster = load_cluster(str(workers.dask))
    with cluster, Client(cluster) as client:
        yield client


def load_cluster(path: str | os.PathLike[str]) -> "JobQueueCluster":
    """Start a scheduler here and ask a batch system for workers, as a YAML file says.

    Its entries: ``cluster``, a class of dask-jobqueue (SLURMCluster, PBSCluster, ...); ``jobs``, the number of jobs; ``options``,
    a mapping, the arguments of the class. A worker has one thread, so ``cores`` and ``processes`` of a job are equal: both are
    the number of workers in it.

    Raises
    ------
    UserError
        If dask-jobqueue is not installed, or the file makes no sense.
    """
    try:
        import dask_jobqueue
    except ImportError:
        raise UserError("jobs of a batch system need dask-jobqueue: pip install 'cgplugin[cluster]'") from None
    name, jobs, options = _read(Path(path), dask_jobqueue)
    try:
        cluster = getattr(dask_jobqueue, name)(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {name} refuses its options ({one_line(error)})") from error
    # a fixed number, but unlike with scale() a job that has ended, at its time limit perhaps, is followed by another
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
    return cluster


def _read(path: Path, dask_jobqueue: ModuleType) -> tuple[str, int, dict[str, Any]]:
    """Class, number of jobs, and arguments of the class."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a readable YAML file ({one_line(error)})") from error
    expected = {"cluster": str, "jobs": int, "options": dict}
    if not isinstance(content, dict) or set(content) != set(expected):
        raise UserError(f"{path}: expected the entries {', '.join(expected)}")
    for entry, kind in expected.items():
        if not isinstance(content[entry], kind) or content[entry] is True:
            raise UserError(f"{path}: {entry} is {content[entry]!r}, expected a {kind.__name__}")
    name, jobs, options = content["cluster"], content["jobs"], content["options"]
    known = [
        item
        for item, value in vars(dask_jobqueue).items()
        if inspect.isclass(value) and issubclass(value, dask_jobqueue.JobQueueCluster)
        if value is not dask_jobqueue.JobQueueCluster
    ]
    if name not in known:
        raise UserError(f"{path}: unknown cluster {name!r}, expected one of {', '.join(sorted(known))}")
    if jobs < 1:
        raise UserError(f"{path}: jobs is {jobs}, expected at least 1")
    if options.get("cores") != options.get("processes"):
        raise UserError(
            f"{path}: {options.get('cores')} cores for {options.get('processes')} processes: give cores and processes the "
            "same number, for a worker takes one system at a time"
        )
    return name, jobs, options
