"""Ground truth: short MD of polymers sampled from a chemical space, a folder per system."""

import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import yaml
from numpy.typing import NDArray
from tqdm import tqdm

from cgplugin import force_field as force_fields
from cgplugin.errors import UserError, one_line
from cgplugin.files import read_json, write_json
from cgplugin.force_field import BeadSpringForceField
from cgplugin.molecular_system import MolecularSystem

from .chemical_space import sample_sequence
from .molecular_dynamics import PackedChains, Recording, steps_for
from .platforms import choose_platform
from .polymer_builder import build_polymer, start_positions
from .topology import to_openmm_topology, write_pdb

SPEC_FILE = "generate.json"

_SAMPLE, _START, _DYNAMICS = 0, 1, 2
"""Last part of a seed: what it is for."""


@dataclass(frozen=True)
class GenerateSpec:
    """What to generate; times in ps (tau for reduced units).

    Attributes
    ----------
    force_field : str
        File, or name of a force field of the package.
    polymer_class : str
        ``I`` (regular copolymers) or ``II`` (random ones).
    n_systems : int
    n_units : int
        Constitutional units per chain.
    sequences : list of lists of int, optional
        Chains as indices of constitutional units, in place of sampling.
    length : float
        Recorded time.
    recording_interval : float
    relaxation : float
        Time before the first frame.
    seed : int
    chains_per_context : int
        Chains that share an OpenMM Context. They are generated together, so that a system does not depend on which
        others are there already.
    name : str
        Prefix of the systems' names.
    """

    force_field: str = "polymer"
    polymer_class: str = "I"
    n_systems: int = 10
    n_units: int = 40
    sequences: list[list[int]] | None = None
    length: float = 250.0
    recording_interval: float = 1.0
    relaxation: float = 1000.0
    seed: int = 0
    chains_per_context: int = 20
    name: str = ""

    def __post_init__(self) -> None:
        if self.sequences is not None:
            object.__setattr__(self, "n_systems", len(self.sequences))
        for name in ("n_systems", "n_units", "chains_per_context"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"{name} is {value!r}, expected an integer of at least 1")
        for name in ("length", "recording_interval"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not value > 0:
                raise UserError(f"{name} is {value!r}, expected a positive time")
        if not isinstance(self.relaxation, (int, float)) or self.relaxation < 0:
            raise UserError(f"relaxation is {self.relaxation!r}, expected a time of at least 0")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise UserError(f"seed is {self.seed!r}, expected an integer of at least 0")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "GenerateSpec":
        """Read a YAML or JSON file; a force field file in it is looked for beside it.

        Raises
        ------
        UserError
            If the file cannot be read or has an entry that is not known.
        """
        path = Path(path)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path}: no such file") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"{path}: not a readable YAML file ({one_line(error)})") from error
        if not isinstance(content, dict):
            raise UserError(f"{path}: expected a mapping of entries to values")
        known = {item.name for item in fields(cls)}
        for key in content:
            if key not in known:
                raise UserError(f"{path}: unknown entry {key!r}, the entries are {', '.join(sorted(known))}")
        try:
            spec = cls(**content)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        if (beside := path.parent / str(spec.force_field)).is_file():
            spec = replace(spec, force_field=str(beside))
        return spec


def generate(
    spec: GenerateSpec,
    out: str | os.PathLike[str],
    *,
    platform: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> list[Path]:
    """Generate the systems that are missing in a folder.

    Per system a folder with ``topology.pdb`` (with bonds), ``trajectory.dcd`` and ``system.json``, which appears whole or not at
    all. System i of a seed is the same polymer however many are asked for. Its trajectory depends on the seed and on the
    chains that share its Context, never on which systems are there already.

    Parameters
    ----------
    spec : GenerateSpec
    out : path
    platform, threads
        See `choose_platform`.
    workers : int, optional
        Processes that work on Contexts side by side; by default one per core, or one on a GPU.
    progress : bool
        Show a progress bar.

    Returns
    -------
    list of Path
        Folders of all systems.

    Raises
    ------
    UserError
        If the spec makes no sense, or the folder has systems of another one.
    """
    out = Path(out)
    force_field = force_fields.find(spec.force_field)
    chosen, _ = choose_platform(platform)
    time_step = force_field.dynamics.time_step
    steps_for(spec.relaxation, time_step, "relaxation")
    steps_for(spec.recording_interval, time_step, "recording interval")
    steps_for(spec.length, spec.recording_interval, "length")
    systems = sample_systems(spec, force_field)
    _claim(out, spec, force_field)
    folders = [out / system.name for system in systems]
    groups = [
        range(i, min(i + spec.chains_per_context, len(systems)))
        for i in range(0, len(systems), spec.chains_per_context)
    ]
    missing = [group for group in groups if not all(folders[i].is_dir() for i in group)]
    # a process and a thread per core does twice what one process with all threads does; a GPU is shared badly
    on_cores = chosen.getName() in ("CPU", "Reference")
    if workers is None:
        workers = (os.cpu_count() or 1) if on_cores else 1
    workers = max(1, min(workers, len(missing)))
    if on_cores and threads is None:
        threads = max(1, (os.cpu_count() or 1) // workers)
    with tqdm(total=sum(len(group) for group in missing), desc="MD", unit="system", disable=not progress) as bar:
        jobs = [
            (spec, force_field, [systems[i] for i in group], group[0], out, chosen.getName(), threads)
            for group in missing
        ]
        if workers == 1:
            for job in jobs:
                _generate_group(*job)
                bar.update(len(job[2]))
        else:
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                running = {pool.submit(_generate_group, *job): len(job[2]) for job in jobs}
                try:
                    for finished in as_completed(running):
                        finished.result()
                        bar.update(running[finished])
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
    return folders


def _generate_group(
    spec: GenerateSpec,
    force_field: BeadSpringForceField,
    systems: list[MolecularSystem],
    first: int,
    out: Path,
    platform: str,
    threads: int | None,
) -> None:
    """Simulate the systems that share a Context, and write their folders."""
    force_field.check_types(systems[0])
    chains = PackedChains(
        force_field,
        systems,
        [start_positions(s, force_field.bond_r0, (spec.seed, first + i, _START)) for i, s in enumerate(systems)],
        seed=_integer_seed(spec.seed, first, _DYNAMICS),
        platform=platform,
        threads=threads,
    )
    n_frames = round(spec.length / spec.recording_interval) + 1
    recording = Recording(n_frames, spec.recording_interval, spec.relaxation)
    paths = [np.empty((n_frames, system.n_atoms, 3), dtype=np.float32) for system in systems]
    for n, frame in enumerate(chains.record(recording)):
        for path, positions in zip(paths, frame, strict=True):
            path[n] = positions
    for system, path in zip(systems, paths, strict=True):
        provenance = {**system.provenance, "platform": chains.run.platform}
        _write(out / system.name, replace(system, provenance=provenance), path)


def sample_systems(spec: GenerateSpec, force_field: BeadSpringForceField) -> list[MolecularSystem]:
    """Systems of a spec, without positions.

    Raises
    ------
    UserError
        If the class or a constitutional unit is unknown.
    """
    systems = []
    for i in range(spec.n_systems):
        if spec.sequences is not None:
            drawn, units, kind = sorted(set(spec.sequences[i])), tuple(spec.sequences[i]), "given"
        else:
            sequence = sample_sequence(force_field, spec.polymer_class, spec.n_units, (spec.seed, i, _SAMPLE))  # type: ignore[arg-type]
            drawn, units, kind = list(sequence.units_drawn), sequence.units, sequence.polymer_class
        system = build_polymer(force_field, units, f"{spec.name}{i:04d}")
        provenance = {
            "generator": "cgplugin generate",
            "class": kind,
            "constitutional_units": drawn,
            "sequence": list(units),
            "seed": spec.seed,
            "index": i,
            "length": spec.length,
            "relaxation": spec.relaxation,
            "versions": {"openmm": version("openmm"), "cgplugin": version("cgplugin")},
        }
        systems.append(replace(system, recording_interval=spec.recording_interval, provenance=provenance))
    return systems


def _integer_seed(*parts: int) -> int:
    """Seed for OpenMM, below 2^31 - 1."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0] % (2**31 - 2))


def _claim(out: Path, spec: GenerateSpec, force_field: BeadSpringForceField) -> None:
    """Store the spec in the folder, or refuse a folder of another one; more systems may be asked for later."""
    described: dict[str, Any] = {**asdict(spec), "force_field": force_field.raw}
    record = out / SPEC_FILE
    if record.exists():
        earlier = read_json(record)
        changed = [key for key in described if earlier.get(key) != described[key] and key != "n_systems"]
        if changed:
            raise UserError(f"{out}: holds systems of a spec that differs in {', '.join(changed)}: use another folder")
        rest = earlier.get("n_systems", 0) % spec.chains_per_context
        if rest and earlier["n_systems"] != described["n_systems"]:
            raise UserError(
                f"{out}: holds {earlier['n_systems']} systems, whose last group of {spec.chains_per_context} is not full: use "
                "another folder for more"
            )
    write_json(record, described)


def _write(folder: Path, system: MolecularSystem, positions: NDArray[np.float32]) -> None:
    """Write one system's folder, whole or not at all."""
    if folder.is_dir():
        return
    hidden = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        hidden.chmod(0o755)
        topology = to_openmm_topology(system)
        write_pdb(hidden / "topology.pdb", topology, positions[0].astype(np.float64))
        write_dcd(hidden / "trajectory.dcd", positions)
        system.save(hidden / "system.json")
        hidden.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({one_line(error)})") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def write_dcd(path: Path, positions: NDArray[np.float32]) -> None:
    """Write positions (n_frames, n_atoms, 3) in nm as a DCD file (angstrom, as the format wants)."""
    try:
        with mdtraj.formats.DCDTrajectoryFile(str(path), "w", force_overwrite=True) as file:
            file.write(10 * positions)
    except TypeError as error:
        # how mdtraj (1.11) fails when its C code reports that a write went wrong
        raise OSError(f"{path.name} could not be written: is the disk full?") from error
