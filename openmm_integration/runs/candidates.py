"""Candidates of a screening: structures from files, and polymers built from a spec."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from cgplugin.errors import UserError, one_line
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.systems import force_field as force_fields
from cgplugin.systems.force_field import BeadSpringForceField
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.structure_files import Structure, load_structure
from cgplugin.training.data import with_force_field_nearby
from lammps_reader import LammpsFormatError
from openmm_integration.ground_truth.generate import GenerateSpec, sample_systems, start_of

from .warm_up import known_force_field, system_file

SPEC_SUFFIXES = (".yaml", ".yml", ".json")


def load_candidates(
    paths: Iterable[str | os.PathLike[str]],
    model: LearnedModel,
    *,
    conventions: LammpsConventions = LammpsConventions(),
    force_field: BeadSpringForceField | None = None,
    on_bad: Callable[[str], object] | None = None,
) -> list[Structure]:
    """Read structures, build the polymers of specs, and find out whether the model can simulate them.

    Parameters
    ----------
    paths : iterable of paths
        Structures as `load_structure` reads them, and specs as ``cgplugin generate`` takes them (YAML or JSON).
    model : LearnedModel
    conventions : LammpsConventions
        What LAMMPS files leave out.
    force_field : BeadSpringForceField, optional
        For the short MD, where neither a structure nor the model knows one.
    on_bad : callable, optional
        Called with one line about each candidate that cannot be simulated, which is left out. By default the first such
        candidate is an error.

    Raises
    ------
    UserError, lammps_reader.LammpsFormatError
        For a candidate that cannot be simulated, where ``on_bad`` is not given; if two have the same name, or none is left.
    """
    if conventions.force_field is None:
        conventions = replace(conventions, force_field=model.force_field)
    found: list[Structure] = []
    for path in map(Path, paths):
        read: list[Structure] = []
        with _reporting(on_bad):
            read = _read(path, conventions)
        for structure in read:
            with _reporting(on_bad):
                _check(structure, model, force_field)
                found.append(structure)
    if not found:
        raise UserError("there is no candidate that could be simulated")
    _check_names(found)
    return found


@contextmanager
def _reporting(on_bad: Callable[[str], object] | None) -> Iterator[None]:
    try:
        yield
    except (UserError, LammpsFormatError) as error:
        if on_bad is None:
            raise
        on_bad(one_line(error))


def _read(path: Path, conventions: LammpsConventions) -> list[Structure]:
    if path.suffix in SPEC_SUFFIXES and not path.is_dir():
        return build_candidates(path)
    return [load_structure(path, with_force_field_nearby(conventions, path))]


def build_candidates(spec_file: Path) -> list[Structure]:
    """Polymers of a spec, with the positions that ``cgplugin generate`` starts from: no MD has been run.

    Raises
    ------
    UserError
        If the spec makes no sense.
    """
    spec = GenerateSpec.load(spec_file)
    force_field = force_fields.find(spec.force_field)
    systems = sample_systems(spec, force_field)
    for system in systems:
        force_field.check_types(system)
    return [
        Structure(system, start_of(spec, force_field, n, system), None, spec_file / system.name)
        for n, system in enumerate(systems)
    ]


def digest(structure: Structure) -> str:
    """SHA-256 of all that a simulation of the structure depends on."""
    system = structure.system
    described = hashlib.sha256(repr((system.atom_types, system.bond_types, system.units)).encode())
    for array in (system.masses, system.bonds, structure.positions, structure.box_vectors):
        described.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return described.hexdigest()


def _check(structure: Structure, model: LearnedModel, force_field: BeadSpringForceField | None) -> None:
    """Find out whether the model can simulate a structure, and whether there is a chain in it."""
    try:
        cg = model.coarsen(structure.system)
    except UserError as error:
        raise UserError(f"{structure.source}: {error}") from error
    if not len(cg.bonds):
        raise UserError(f"{structure.source}: has no CG bonds, so that there is no chain whose size could be ranked")
    if (structure.box_vectors is not None) != model.description.periodic:
        has, needs = ("a", "without one") if structure.box_vectors is not None else ("no", "with one")
        raise UserError(f"{structure.source}: has {has} box, but {model.source} was trained {needs}")
    if not system_file(structure).is_file():
        (force_field or known_force_field(model, [structure])).check_types(structure.system)


def _check_names(structures: Sequence[Structure]) -> None:
    sources: dict[str, Path] = {}
    for structure in structures:
        name = structure.system.name
        if name in sources:
            raise UserError(
                f"two candidates are called {name!r}, {sources[name]} and {structure.source}: rename a file or folder, or give "
                "a spec a 'name'"
            )
        if not name or "/" in name or name.startswith("."):
            raise UserError(f"{structure.source}: its name {name!r} cannot be that of a folder")
        sources[name] = structure.source
