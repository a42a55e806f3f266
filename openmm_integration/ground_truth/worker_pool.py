"""Independent jobs on processes side by side, with shared progress, that end when the program ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any, TypeVar

Job = TypeVar("Job")
Tell = Callable[[float], None]
"""Called with the amount of work just done; an exception that it raises ends the job."""

POLL_INTERVAL = 0.3
"""Seconds between looks at the progress of the workers."""


class StoppedError(Exception):
    """Another job failed, or the user interrupted the program."""


def run_jobs(work: Callable[[Job, Tell], None], jobs: Sequence[Job], workers: int, on_progress: Tell) -> None:
    """Do all jobs; the first that fails stops the others.

    Parameters
    ----------
    work : callable
        Function of a module, called with a job and a function to tell its progress to.
    jobs : sequence
        Must be picklable where there are several workers.
    workers : int
        Processes; with one, the jobs are done here.
    on_progress : callable
        Called here with what the jobs tell.
    """
    if workers == 1:
        for job in jobs:
            work(job, on_progress)
        return
    # a fork would inherit OpenMM's threads and the GPU in an undefined state
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("d", 0.0), context.Event()
    shown = 0.0
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(done, stop)) as pool:
        try:
            pending = {pool.submit(_work, work, job) for job in jobs}
            while pending:
                finished, pending = wait(pending, timeout=POLL_INTERVAL, return_when=FIRST_COMPLETED)
                now = done.value
                on_progress(now - shown)
                shown = now
                for future in finished:
                    future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_shared: dict[str, Any] = {}
"""Of a worker: the counter of work done and the request to stop."""


def _begin(done: Any, stop: Any) -> None:
    """First act of a worker."""
    # Ctrl-C reaches the whole process group; the parent decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _shared.update(done=done, stop=stop)


def _end_with_parent() -> None:
    """End when the parent is killed: nobody would, otherwise, and the worker would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(work: Callable[[Job, Tell], None], job: Job) -> None:
    def tell(amount: float) -> None:
        if _shared["stop"].is_set():
            raise StoppedError
        with _shared["done"].get_lock():
            _shared["done"].value += amount

    work(job, tell)
