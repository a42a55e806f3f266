"""Independent tasks side by side: progress, second attempts, and what failed in the end, by name."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import uuid4

from cgplugin.errors import UserError, one_line

from .clusters import Workers, connected

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

Tell = Callable[[float], None]
"""Called with the amount of work just done; an exception that it raises ends the task."""

POLL_INTERVAL = 0.3
"""Seconds between looks at the progress of the workers, and between what each of them tells."""

ATTEMPTS = 2
"""A task that fails as often is given up."""

_Message = tuple[str, float, str | None]
"""Name of a task, how much of it is done, and why it cannot be done."""

WORKERS_DIED = "its worker died, and so did the next one (out of memory, perhaps)"


class Task(Protocol):
    """What a worker does in one go; it writes its results itself, whole or not at all."""

    @property
    def name(self) -> str:
        """For messages: the system, or the systems."""
        ...


T = TypeVar("T", bound=Task)


class StoppedError(Exception):
    """Nobody waits for the task any more: the program that asked for it was interrupted, or is gone."""


def run_tasks(
    work: Callable[[T, Tell], object],
    tasks: Sequence[T],
    workers: Workers,
    on_progress: Tell,
    report: Callable[[str], object] | None = None,
) -> None:
    """Do all tasks; what fails is tried again, and does not keep the others from being done.

    A task fails if it raises, or its worker dies. A `UserError` is not tried again: the same input would give it again.

    Parameters
    ----------
    work : callable
        Function of a module, called with a task and a function to tell its progress to. What it gives back is dropped: workers
        write to files that this machine can read.
    tasks : sequence of Task
        With different names; picklable, unless they are done in this process.
    workers : Workers
    on_progress : callable
        Called here with what the tasks tell; less than zero where a second attempt begins.
    report : callable, optional
        Called with one line that says where Dask's dashboard is.

    Raises
    ------
    UserError
        If tasks failed through the user's mistake or their worker's death; names them all.
    RuntimeError
        If a task raised something else.
    """
    if not tasks:
        return
    if workers.dask is None and workers.on_this_machine(len(tasks)) == 1:
        failures = _run_here(work, tasks, on_progress)
    else:
        with connected(workers, len(tasks)) as client:
            if report is not None:
                report(f"Dask's dashboard: {client.dashboard_link}")
            failures = _Run(work, client, on_progress).run(tasks)
    if failures:
        _raise(failures, len(tasks))


def _run_here(work: Callable[[T, Tell], object], tasks: Sequence[T], on_progress: Tell) -> dict[str, BaseException]:
    """Do the tasks one by one in this process, and give the last error of those that failed."""
    failures: dict[str, BaseException] = {}
    for task in tasks:
        for _ in range(ATTEMPTS):
            told = 0.0

            def tell(amount: float) -> None:
                nonlocal told
                told += amount
                on_progress(amount)

            try:
                work(task, tell)
            except UserError as error:
                failures[task.name] = error
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, the other tasks are not concerned
                failures[task.name] = error
                on_progress(-told)
            else:
                failures.pop(task.name, None)
                break
    return failures


class _Run:
    """Tasks that Dask does."""

    def __init__(self, work: Callable[[T, Tell], object], client: "Client", on_progress: Tell) -> None:
        self.work, self.client, self.on_progress = work, client, on_progress
        self.topic = f"cgplugin-{uuid4()}"
        self.told: SimpleQueue[_Message] = SimpleQueue()
        self.done: dict[str, float] = {}
        self.failures: dict[str, BaseException] = {}

    def run(self, tasks: Sequence[T]) -> dict[str, BaseException]:
        """Do the tasks, and give the last error of those that failed."""
        # the handler is called in another thread
        self.client.subscribe_topic(self.topic, lambda event: self.told.put(event[1]))
        waiting = deque(tasks)
        running: dict[Future, T] = {}
        try:
            while waiting or running:
                self._submit(waiting, running)
                for future in self._finished(list(running)):
                    task = running.pop(future)
                    if future.status == "error":
                        self.failures[task.name] = _error_of(future)
                    # while anyone has it, Dask does the task again when its worker dies later
                    future.release()
                self._listen()
        except (CancelledError, OSError) as error:
            raise UserError("the Dask scheduler went away: start again to do what is missing") from error
        return self.failures

    def _submit(self, waiting: deque[T], running: dict["Future", T]) -> None:
        """Hand tasks to Dask, as many as there are workers.

        Dask gives waiting tasks to busy workers, and takes each task of a dead worker for the one that may have killed it.
        """
        n_workers = max(1, len(self.client.nthreads()))
        while waiting and len(running) < n_workers:
            task = waiting.popleft()
            future = self.client.submit(
                _attempt, self.work, task, self.topic, key=f"{task.name}-{uuid4()}", retries=ATTEMPTS - 1
            )
            running[future] = task

    def _finished(self, futures: Sequence["Future"]) -> set["Future"]:
        from distributed import wait

        try:
            return set(wait(futures, timeout=POLL_INTERVAL, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return set()

    def _listen(self) -> None:
        while True:
            try:
                name, done, refusal = self.told.get_nowait()
            except Empty:
                return
            self.on_progress(done - self.done.get(name, 0.0))
            self.done[name] = done
            if refusal is not None:
                self.failures[name] = UserError(refusal)


def _error_of(future: "Future") -> BaseException:
    """Why a task failed."""
    from distributed import KilledWorker

    error = future.exception()
    return UserError(WORKERS_DIED) if isinstance(error, KilledWorker) else error


def _attempt(work: Callable[[T, Tell], object], task: T, topic: str) -> None:
    """Do a task in a worker.

    A `UserError` is told, since what is raised is tried again. Nothing is given back: Dask would do a task again whose result it
    has lost with a worker.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    done, last = 0.0, float("-inf")

    def tell(amount: float) -> None:
        nonlocal done, last
        done += amount
        if (now := time.monotonic()) - last < POLL_INTERVAL:
            return
        last = now
        state = worker.state.tasks.get(key)
        if state is None or state.state != "executing":
            raise StoppedError
        worker.log_event(topic, (task.name, done, None))

    refusal = None
    try:
        _check_threads(worker)
        work(task, tell)
    except UserError as error:
        refusal = one_line(error)
    worker.log_event(topic, (task.name, done, refusal))


def _check_threads(worker: "Worker") -> None:
    """Refuse a worker that would do several tasks at a time: torch and OpenMM set threads and seeds for the whole process."""
    if worker.state.nthreads > 1:
        raise UserError(
            f"the Dask worker {worker.name} has {worker.state.nthreads} threads, and a task takes a process of its own: "
            "start it with --nthreads 1 --nworkers N"
        )


def _raise(failures: dict[str, BaseException], n_tasks: int) -> None:
    """Raise one error that lists what failed."""
    if n_tasks == 1:
        raise next(iter(failures.values()))
    lines = []
    for name, error in failures.items():
        text = one_line(error) if isinstance(error, UserError) else f"{type(error).__name__}: {one_line(error)}"
        lines.append(text if text.startswith(f"{name}: ") else f"{name}: {text}")
    first = next(iter(failures.values()))
    failed = f"{len(failures)} of {n_tasks} tasks failed, the others are done (start again to try once more)"
    text = f"{failed}: {'; '.join(lines)}"
    if all(isinstance(error, UserError) for error in failures.values()):
        raise UserError(text) from first
    raise RuntimeError(text) from first
