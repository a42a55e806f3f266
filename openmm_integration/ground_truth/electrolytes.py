"""Ground truth: short MD of polymer electrolytes in periodic boxes, a folder per system."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgplugin.cluster.tasks import Tell
from cgplugin.files import sole_writer
from cgplugin.systems import force_field as force_fields
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.molecular_system import MolecularSystem

from .bead_spring import check_cutoffs_fit, create_system
from .chemical_space import UNITS_DRAWN, sample_sequence
from .electrolyte_builder import Composition, build_electrolyte, cubic_box, random_positions, unit_names
from .electrolyte_spec import ElectrolyteSpec
from .md_jobs import Resources, check_times, integer_seed, run_spec
from .molecular_dynamics import LangevinRun, Recording
from .push_off import push_off
from .spec_file import KIND_ENTRY
from .system_folders import claim, recorded, write_system_folder

__all__ = ["ElectrolyteSpec", "generate_electrolytes", "sample_electrolytes"]

_PATTERN, _START, _PUSH_OFF, _DYNAMICS, _SALT = 0, 1, 2, 3, 4
"""Last part of a seed: what it is for."""


@dataclass(frozen=True)
class _Job:
    """One system, which has a Context of its own."""

    spec: ElectrolyteSpec
    force_field: BeadSpringForceField
    system: MolecularSystem
    number: int
    out: Path
    resources: Resources

    n_systems = 1

    @property
    def name(self) -> str:
        return self.system.name

    @property
    def n_atoms(self) -> int:
        return self.system.n_atoms

    @property
    def box_vectors(self) -> NDArray[np.float64]:
        return cubic_box(self.n_atoms, self.spec.density)


def generate_electrolytes(
    spec: ElectrolyteSpec,
    out: str | os.PathLike[str],
    *,
    platform: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    dask: str | None = None,
    progress: bool = False,
    report: Callable[[str], object] | None = None,
) -> list[Path]:
    """Generate the systems that are missing in a folder.

    Molecules start at random places of a cubic box, are pushed apart, and then relax at the density and temperature for
    ``spec.relaxation``. Per system a folder with ``topology.pdb`` (with bonds and box), ``trajectory.dcd`` (unwrapped, molecules
    whole, with the box) and ``system.json``, which appears whole or not at all. System i of a seed is the same, its trajectory
    too, however many are asked for; to the last bit on the same machine, platform and number of threads.

    Several workers are processes that import the calling script anew: call this below ``if __name__ == "__main__":``.

    Parameters
    ----------
    spec : ElectrolyteSpec
    out : path
    platform, threads, workers, dask, progress, report
        See `openmm_integration.ground_truth.generate.generate`.

    Returns
    -------
    list of Path
        Folders of all systems.

    Raises
    ------
    UserError
        If the spec makes no sense or its box is too small for the cutoffs, the folder has systems of another one or cannot be
        written, or the MD blows up.
    """
    out = Path(out)
    force_field = force_fields.find(spec.force_field)
    check_times(spec, force_field)
    systems = sample_electrolytes(spec, force_field)
    for system in systems:
        check_cutoffs_fit(force_field, cubic_box(system.n_atoms, spec.density), system.name)
    resources = Resources.choose(platform, threads, workers, dask)
    with sole_writer(out, "cgplugin generate"):
        claim(out, {KIND_ENTRY: spec.kind, **asdict(spec), "force_field": force_field.raw})
        jobs = [
            _Job(spec, force_field, system, number, out.absolute(), resources)
            for number, system in enumerate(systems)
            if not (out / system.name).is_dir()
        ]
        run_spec(_generate_system, jobs, resources, spec, force_field, progress=progress, report=report)
    return [out / system.name for system in systems]


def sample_electrolytes(spec: ElectrolyteSpec, force_field: BeadSpringForceField) -> list[MolecularSystem]:
    """Systems of a spec, without positions.

    Raises
    ------
    UserError
        If a backbone unit is unknown, or the force field has no salt.
    """
    systems = []
    for number in range(spec.n_systems):
        composition = _composition(spec, force_field, number)
        system = build_electrolyte(force_field, composition, f"{spec.name}{number:04d}")
        provenance: dict[str, Any] = {
            "generator": "cgplugin generate",
            **asdict(composition),
            "density": spec.density,
            "seed": spec.seed,
            "index": number,
            "length": spec.length,
            "relaxation": spec.relaxation,
            "versions": {"openmm": version("openmm"), "cgplugin": version("cgplugin")},
        }
        systems.append(
            replace(system, recording_interval=spec.recording_interval, unwrapped=True, provenance=provenance)
        )
    return systems


def _composition(spec: ElectrolyteSpec, force_field: BeadSpringForceField, number: int) -> Composition:
    given = spec.compositions[number] if spec.compositions is not None else {}
    if "pattern" in given:
        pattern = tuple(given["pattern"])
    else:
        drawn = sample_sequence(force_field, "I", UNITS_DRAWN, (spec.seed, number, _PATTERN)).units
        pattern = tuple(unit_names(force_field)[unit] for unit in drawn)
    random = np.random.default_rng(np.random.SeedSequence((spec.seed, number, _SALT)))
    n_salt = given.get("n_salt", int(random.choice(spec.salt_contents)))
    return Composition(pattern, spec.n_repeats, spec.n_chains, n_salt)


def _generate_system(job: _Job, tell: Tell) -> None:
    """Pack and simulate one system, and write its folder."""
    spec, force_field, system, box_vectors = job.spec, job.force_field, job.system, job.box_vectors
    platform, threads = job.resources.platform, job.resources.threads
    start = random_positions(force_field, system, box_vectors, (spec.seed, job.number, _START))
    pushed = push_off(
        force_field,
        system,
        start,
        box_vectors,
        seed=integer_seed(spec.seed, job.number, _PUSH_OFF),
        platform=platform,
        threads=threads,
    )
    run = LangevinRun(
        create_system(force_field, [system], box_vectors),
        pushed,
        force_field.dynamics,
        seed=integer_seed(spec.seed, job.number, _DYNAMICS),
        platform=platform,
        threads=threads,
        name=system.name,
    )

    def on_steps(steps: int) -> None:
        tell(steps * force_field.dynamics.time_step)

    frames = run.record(Recording(spec.n_frames, spec.recording_interval, spec.relaxation), on_steps)
    scratch = job.out / f".{system.name}.positions"
    with recorded(scratch, frames, spec.n_frames, system.n_atoms) as positions:
        described = replace(system, provenance={**system.provenance, "platform": platform, "threads": threads})
        write_system_folder(job.out / system.name, described, positions, box_vectors)
