"""Kinds of systems that ``cgplugin generate`` knows, imported when they are asked for."""

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from cgplugin.errors import UserError

from .spec_file import read_spec_file, spec_from_mapping


@dataclass(frozen=True)
class Kind:
    """Where the spec of a kind of system and its generator are."""

    module: str
    spec_name: str
    generator_name: str

    @property
    def spec_class(self) -> type[Any]:
        """A frozen dataclass; its fields are the entries of the file."""
        found: type[Any] = getattr(import_module(self.module), self.spec_name)
        return found

    @property
    def generator(self) -> Callable[..., list[Path]]:
        """Generator of the systems of a spec; see `openmm_integration.ground_truth.generate.generate`."""
        found: Callable[..., list[Path]] = getattr(import_module(self.module), self.generator_name)
        return found


KINDS = {
    "polymers": Kind("openmm_integration.ground_truth.generate", "GenerateSpec", "generate"),
    "electrolytes": Kind("openmm_integration.ground_truth.electrolytes", "ElectrolyteSpec", "generate_electrolytes"),
    "atomistic": Kind("openmm_integration.atomistic.generate", "AtomisticSpec", "generate_atomistic"),
}
"""Value of the entry ``system`` of a spec file to its kind."""


def load_spec(path: str | os.PathLike[str], **options: Any) -> tuple[Any, Callable[..., list[Path]]]:
    """Read a spec file of any kind.

    Parameters
    ----------
    path : path
    **options
        Entries that replace those of the file, unless they are None.

    Returns
    -------
    spec : dataclass
    generator : callable
        Of the systems of the spec.

    Raises
    ------
    UserError
        If the file cannot be read, is of an unknown kind, has an entry that is unknown or makes no sense, or an option does
        not apply to it.
    """
    name, content = read_spec_file(path)
    if name not in KINDS:
        raise UserError(f"{path}: unknown system {name!r}: expected one of {', '.join(KINDS)}")
    kind = KINDS[name]
    spec = spec_from_mapping(kind.spec_class, content, Path(path))
    for entry, value in options.items():
        if value is None:
            continue
        option = f"--{entry.replace('_', '-')}"
        if entry not in {item.name for item in fields(spec)}:
            raise UserError(f"{path}: a spec of {name} has no entry {entry}: {option} does not apply")
        spec = replace(spec, **{entry: value})
        if getattr(spec, entry) != value:
            # a list of systems decides about their number
            raise UserError(f"{path}: {entry} follows from other entries: {option} does not apply")
    return spec, kind.generator
