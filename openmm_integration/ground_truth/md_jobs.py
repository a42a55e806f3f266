"""Short MD of many systems: what it runs on, how far it is, how fast it was."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from tqdm import tqdm

from cgplugin.cluster.clusters import LOCAL, Workers
from cgplugin.cluster.tasks import Task, Tell, run_tasks
from cgplugin.errors import UserError
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.units import time_unit
from openmm_integration.platforms import choose_platform

from .molecular_dynamics import steps_for
from .spec import MdSpec


@dataclass(frozen=True)
class Resources:
    """OpenMM platform, threads of its CPU platform per worker, and the workers."""

    platform: str
    threads: int | None
    workers: Workers

    @classmethod
    def choose(
        cls, platform: str | None, threads: int | None, workers: int | None, dask: str | None = None
    ) -> "Resources":
        """Fill in what is not given.

        By default the fastest platform, and on cores a worker of one thread per core, which uses them best.

        Raises
        ------
        UserError
            If there are no workers, or the platform is unknown or does not work here.
        """
        # refused before a platform is looked for
        described = Workers(dask, workers)
        chosen = choose_platform(platform, threads)[0].getName()
        if chosen in ("CPU", "Reference"):
            return cls(chosen, threads or 1, replace(described, threads=threads or 1))
        on_this_machine = dask in (None, LOCAL)
        return cls(chosen, threads, replace(described, number=1) if on_this_machine and workers is None else described)


class MdJob(Task, Protocol):
    """A Context's worth of MD."""

    @property
    def n_systems(self) -> int:
        """Systems in it."""
        ...

    @property
    def n_atoms(self) -> int:
        """Atoms of all of them."""
        ...


Job = TypeVar("Job", bound=MdJob)


def check_times(spec: MdSpec, force_field: BeadSpringForceField) -> None:
    """Raise a `UserError` unless relaxation and interval are whole MD steps, and the length whole intervals."""
    steps_for(spec.relaxation, force_field.dynamics.time_step, "relaxation")
    steps_for(spec.recording_interval, force_field.dynamics.time_step, "recording interval")
    if abs((spec.n_frames - 1) * spec.recording_interval - spec.length) > 1e-6 * spec.length:
        raise UserError(
            f"the length of {spec.length:g} is no multiple of the recording interval of {spec.recording_interval:g}"
        )


def run_md_jobs(
    work: Callable[[Job, Tell], None],
    jobs: Sequence[Job],
    resources: Resources,
    *,
    length: float,
    time_step: float,
    unit: str,
    progress: bool,
    report: Callable[[str], object] | None,
) -> None:
    """Do the jobs side by side.

    Parameters
    ----------
    work : callable
        Function of a module, called with a job and a function that it tells the time in ps to, summed over the job's systems,
        that it has just simulated.
    jobs : sequence
    resources : Resources
    length : float
        Time that each system is simulated, ps.
    time_step : float
        Of the MD, ps.
    unit : str
        Of time, for people.
    progress : bool
        Show a progress bar.
    report : callable, optional
        Called with one line about the speed, if there was anything to do, and one about Dask's dashboard.
    """
    n_systems = sum(job.n_systems for job in jobs)
    total = length * n_systems
    begin = time.perf_counter()
    with tqdm(
        total=total,
        desc="MD",
        disable=not progress,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} " + unit + " [{elapsed}<{remaining}]",
    ) as bar:

        def on_progress(done: float) -> None:
            bar.update(done)

        run_tasks(work, jobs, resources.workers, on_progress, report)
    seconds = time.perf_counter() - begin
    if report is not None and jobs:
        bead_steps = length / time_step * sum(job.n_atoms for job in jobs)
        report(
            f"{n_systems} systems generated in {seconds:.0f} s on {resources.platform}: {total / seconds:.3g} {unit}/s, "
            f"{bead_steps / seconds / 1e6:.3g} million bead-steps/s"
        )


def run_spec(
    work: Callable[[Job, Tell], None],
    jobs: Sequence[Job],
    resources: Resources,
    spec: MdSpec,
    force_field: BeadSpringForceField,
    *,
    progress: bool,
    report: Callable[[str], object] | None,
) -> None:
    """Do the jobs of a spec of bead-spring systems; see `run_md_jobs`."""
    run_md_jobs(
        work,
        jobs,
        resources,
        length=spec.relaxation + spec.length,
        time_step=force_field.dynamics.time_step,
        unit=time_unit(force_field.units),
        progress=progress,
        report=report,
    )


def integer_seed(*parts: int) -> int:
    """Seed for OpenMM, below 2^31 - 1."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0] % (2**31 - 2))
