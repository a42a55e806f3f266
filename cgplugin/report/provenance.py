"""Where results come from: what a command was, the versions it ran with, the model it used."""

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgplugin.errors import UserError
from cgplugin.files import file_digest, read_json, write_json

from .content import Section, Table

if TYPE_CHECKING:
    from cgplugin.learned.learned_model import ModelDescription

FILE = "provenance.json"

PACKAGES = ("cgplugin", "torch", "torch-geometric", "OpenMM", "numpy", "scipy", "mdtraj", "pymetis", "vesin", "plotly")
"""Packages whose version can change a number or a picture."""


@dataclass(frozen=True)
class ModelRecord:
    """What a report says of a model.

    Attributes
    ----------
    path : str
    sha256 : str
        Of the file.
    facts : dict
        What the model says of itself.
    """

    path: str
    sha256: str
    facts: dict[str, Any]

    @classmethod
    def of(cls, path: Path, description: "ModelDescription") -> "ModelRecord":
        """Facts about a model file that was loaded."""
        facts = {
            "units": description.units,
            "time step": description.time_step,
            "history": description.n_history,
            "cutoff": description.cutoff,
            "atoms per bead": description.atoms_per_bead,
            "seed of the partition": description.partition_seed,
            "atom types": ", ".join(description.atom_types),
            "periodic": description.periodic,
            "score-based refinement": bool(description.noise_levels),
            **{f"training: {key}": value for key, value in description.training.items()},
        }
        # what is nested says too much for a table
        plain = {key: value for key, value in facts.items() if isinstance(value, str | int | float | bool)}
        return cls(str(path), file_digest(path), plain)


def versions() -> dict[str, str]:
    """Versions of Python and of `PACKAGES`, as far as they are installed."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def record_command(folder: Path, name: str, command_line: str, seed: int | None, model: ModelRecord | None) -> None:
    """Add a command to the ``provenance.json`` of the folder that it wrote to; one of the same name is replaced."""
    path = folder / FILE
    content = read_json(path) if path.is_file() else {}
    content[name] = {
        "command": command_line,
        "seed": seed,
        "versions": versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "model": None if model is None else {"path": model.path, "sha256": model.sha256, **model.facts},
    }
    write_json(path, content)


def provenance_section(folder: Path) -> Section:
    """Commands, seeds, versions and models, as ``provenance.json`` has them, and what writes the report.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    path = folder / FILE
    content = read_json(path) if path.is_file() else {}
    tables = []
    for name, record in content.items():
        try:
            rows = [["command", record["command"]], ["seed", "-" if record["seed"] is None else str(record["seed"])]]
            rows.append(["versions", ", ".join(f"{key} {value}" for key, value in record["versions"].items())])
            rows.append(["platform", record["platform"]])
            rows += [[f"model: {key}", _text(value)] for key, value in (record["model"] or {}).items()]
        except (TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path}: the record of {name!r} is incomplete: run the command again") from error
        tables.append(Table(("", ""), rows, f"cgplugin {name}"))
    own = [["versions", ", ".join(f"{key} {value}" for key, value in versions().items())]]
    tables.append(Table(("", ""), own, "This report"))
    return Section("Provenance", (), tables)


def _text(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)
