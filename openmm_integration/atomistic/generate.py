"""All-atom ground truth: short MD of polymer electrolytes at their own density, a folder per system."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cgplugin.cluster.tasks import Tell, run_tasks
from cgplugin.errors import UserError
from cgplugin.files import sole_writer
from cgplugin.systems.force_field import Dynamics
from openmm_integration.ground_truth.md_jobs import Resources, integer_seed
from openmm_integration.ground_truth.molecular_dynamics import LangevinRun, Recording, steps_for
from openmm_integration.ground_truth.spec_file import KIND_ENTRY
from openmm_integration.ground_truth.system_folders import claim, recorded, whole_folder, write_dcd
from openmm_integration.system_files import save_system

from .chemistry import LITHIUM, TFSI, Molecule, build_chain, build_ion
from .equilibration import PER_GRAM_PER_CM3, Equilibrated, equilibrate
from .force_field import TypedMolecule, build_topology, create_system, type_molecule
from .packing import PIECE, embed, pack
from .spec import AtomisticSpec, Composition

__all__ = ["AtomisticSpec", "Composition", "build_molecules", "generate_atomistic"]

KIND = "atomistic"

_START, _CONFORMERS, _EQUILIBRATION, _DYNAMICS = 0, 1, 2, 3
"""Last part of a seed: what it is for."""


@dataclass(frozen=True)
class _Job:
    """One system, which has a process of its own."""

    spec: AtomisticSpec
    number: int
    out: Path
    resources: Resources

    @property
    def composition(self) -> Composition:
        return self.spec.compositions[self.number]

    @property
    def name(self) -> str:
        return self.spec.names[self.number]

    def seed(self, purpose: int) -> int:
        return integer_seed(self.spec.seed, self.number, purpose)


def generate_atomistic(
    spec: AtomisticSpec,
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

    Each is packed at low density, compressed, annealed, brought to its density at constant pressure, and recorded at that
    density. Its folder has ``topology.pdb`` (elements, residues, bonds, box), ``trajectory.dcd`` (unwrapped, molecules whole,
    with the box), ``system.json`` and ``system.xml`` (the OpenMM System), and appears whole or not at all. The same spec gives
    the same systems, to the last bit on the same machine, platform and number of threads.

    Several workers are processes that import the calling script anew: call this below ``if __name__ == "__main__":``.

    Parameters
    ----------
    spec : AtomisticSpec
    out : path
    platform : str, optional
        By default the fastest that works here.
    threads : int, optional
        Of OpenMM's CPU platform, per worker; by default one.
    workers : int, optional
        Processes of this machine, a system each; by default one per core, or one on a GPU.
    dask : str, optional
        Workers elsewhere: see `cgplugin.cluster.clusters.Workers`. They must see ``out``.
    progress : bool
        Show a progress bar.
    report : callable, optional
        Called with one line about the speed, and one about Dask's dashboard.

    Returns
    -------
    list of Path
        Folders of all systems.

    Raises
    ------
    UserError
        If the force field does not cover a polymer, the spec makes no sense, the folder has systems of another one or cannot be
        written, or the MD blows up.
    """
    out = Path(out)
    resources = Resources.choose(platform, threads, workers, dask)
    steps = _steps_per_system(spec)
    n_atoms = []
    # a polymer that is not covered is to be known before the first system takes its hours
    for name, composition in zip(spec.names, spec.compositions, strict=True):
        with _naming(name):
            n_atoms.append(sum(typed.molecule.n_atoms for typed in build_molecules(composition)))
    folders = [out / name for name in spec.names]
    with sole_writer(out, "cgplugin generate"):
        claim(out, {KIND_ENTRY: KIND, **asdict(spec), "n_systems": spec.n_systems})
        missing = [number for number, folder in enumerate(folders) if not folder.is_dir()]
        jobs = [_Job(spec, number, out.absolute(), resources) for number in missing]
        begin = time.perf_counter()
        with tqdm(total=steps * len(jobs), desc="MD", unit=" steps", unit_scale=True, disable=not progress) as bar:

            def on_progress(done: float) -> None:
                bar.update(done)

            run_tasks(_generate, jobs, resources.workers, on_progress, report)
        seconds = time.perf_counter() - begin
    if report is not None and jobs:
        atom_steps = steps * sum(n_atoms[number] for number in missing)
        report(
            f"{len(jobs)} systems generated in {seconds:.0f} s on {resources.platform}: "
            f"{atom_steps / seconds / 1e6:.3g} million atom-steps/s"
        )
    return folders


def build_molecules(composition: Composition) -> list[TypedMolecule]:
    """Molecules of a box: the chains, then the anions, then the cations.

    Raises
    ------
    UserError
        If the SMILES is no repeat unit, or the force field does not cover the chain.
    """
    chain = type_molecule(_chain(composition, composition.n_units))
    anion, cation = (type_molecule(build_ion(*ion)) for ion in ((TFSI, "TFS"), (LITHIUM, "LI")))
    return [chain] * composition.n_chains + [anion] * composition.n_salt + [cation] * composition.n_salt


def _chain(composition: Composition, n_units: int) -> Molecule:
    return build_chain(composition.smiles, n_units, end_groups=composition.end_groups, residue_name=composition.residue)


def _steps_per_system(spec: AtomisticSpec) -> int:
    """MD steps of all stages."""
    interval = steps_for(spec.recording_interval, spec.time_step, "recording interval")
    relaxation = steps_for(spec.relaxation, spec.time_step, "relaxation")
    return spec.protocol.n_steps + relaxation + (spec.n_frames - 1) * interval


def _generate(job: _Job, tell: Tell) -> None:
    """Equilibrate and record one system, and write its folder."""
    spec = job.spec
    molecules = build_molecules(job.composition)
    liquid = _equilibrated(job, molecules, tell)
    topology = build_topology(molecules, liquid.box_edge)
    with _naming(job.name):
        system = create_system(molecules, topology, cutoff=spec.cutoff, ion_charge_scale=spec.ion_charge_scale)
    dynamics = Dynamics(spec.temperature, spec.friction, spec.time_step)
    run = LangevinRun(
        system,
        liquid.positions,
        dynamics,
        seed=job.seed(_DYNAMICS),
        platform=job.resources.platform,
        threads=job.resources.threads,
        name=job.name,
    )
    frames = run.record(Recording(spec.n_frames, spec.recording_interval, spec.relaxation), tell)
    n_atoms = system.getNumParticles()
    with (
        recorded(job.out / f".{job.name}.positions", frames, spec.n_frames, n_atoms) as positions,
        whole_folder(job.out / job.name) as folder,
    ):
        described = save_system(
            folder,
            topology,
            system,
            positions[0],
            recording_interval=spec.recording_interval,
            unwrapped=True,
            temperature=spec.temperature,
            friction=spec.friction,
            time_step=spec.time_step,
            atom_types=[name for typed in molecules for name in typed.types],
            name=job.name,
        )
        provenance = {**described.provenance, **_provenance(job, liquid)}
        replace(described, provenance=provenance).save(folder / "system.json")
        write_dcd(folder / "trajectory.dcd", positions, liquid.box_edge * np.eye(3))


def _equilibrated(job: _Job, molecules: list[TypedMolecule], tell: Tell) -> Equilibrated:
    """Pack a system at low density and bring it to its own."""
    spec, composition = job.spec, job.composition
    mass = sum(typed.mass for typed in molecules)
    box_edge = (PER_GRAM_PER_CM3 * mass / spec.packing_density) ** (1 / 3)
    topology = build_topology(molecules, box_edge)
    graphs = [typed.molecule for typed in molecules]
    with _naming(job.name):
        system = create_system(molecules, topology, cutoff=spec.cutoff, ion_charge_scale=spec.ion_charge_scale)
        seed = job.seed(_CONFORMERS)
        chain = embed(_chain(composition, min(composition.n_units, PIECE)), seed)
        ions = {id(graph): embed(graph, seed) for graph in graphs[composition.n_chains :]}
        generator = np.random.default_rng(np.random.SeedSequence((spec.seed, job.number, _START)))
        placed = pack(graphs, [ions.get(id(graph), chain) for graph in graphs], box_edge, generator)
    owners = np.repeat(np.arange(len(graphs)), [graph.n_atoms for graph in graphs])
    return equilibrate(
        system,
        np.concatenate(placed),
        owners,
        spec.protocol,
        seed=job.seed(_EQUILIBRATION),
        platform=job.resources.platform,
        threads=job.resources.threads,
        name=job.name,
        on_steps=tell,
    )


def _provenance(job: _Job, liquid: Equilibrated) -> dict[str, Any]:
    """What ``system.json`` says of where a system comes from."""
    error = liquid.density_error
    return {
        "generator": "cgplugin generate",
        "composition": asdict(job.composition),
        "protocol": asdict(job.spec.protocol),
        "ion_charge_scale": job.spec.ion_charge_scale,
        "cutoff": job.spec.cutoff,
        "relaxation": job.spec.relaxation,
        "seed": job.spec.seed,
        "index": job.number,
        "density": liquid.density,
        "density_error": error if np.isfinite(error) else None,
        "box_edge": liquid.box_edge,
        "platform": job.resources.platform,
        "threads": job.resources.threads,
        "versions": {"openmm": version("openmm"), "rdkit": version("rdkit"), "cgplugin": version("cgplugin")},
    }


@contextmanager
def _naming(system: str) -> Iterator[None]:
    """Let errors begin with the name of a system."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{system}: {error}") from error
