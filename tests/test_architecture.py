"""The arrows between the packages, and what start-up costs."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ALLOWED = {
    "lammps_reader": set(),
    "cgplugin": {"lammps_reader"},
    "openmm_integration": {"cgplugin", "lammps_reader"},
}


def imported_packages(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).split(".")[0])
    return names


@pytest.mark.parametrize("package", ALLOWED)
def test_arrows_point_one_way(package: str) -> None:
    ours = set(ALLOWED) - {package}
    for path in (ROOT / package).rglob("*.py"):
        found = imported_packages(path.read_text()) & (ours | {"openmm", "torch"})
        allowed = set(ALLOWED[package])
        if package == "cgplugin":
            allowed.add("torch")
            if path.parent.name == "cli":
                allowed.add("openmm_integration")
        if package == "openmm_integration":
            allowed |= {"openmm", "torch"}
        assert found <= allowed, f"{path} imports {found - allowed}"


@pytest.mark.parametrize(
    "command", ["", "train", "simulate", "generate", "evaluate", "baseline", "screen", "export", "report", "doctor"]
)
def test_help_imports_no_heavy_package(command: str) -> None:
    arguments = [*command.split(), "--help"]
    code = (
        "import sys; from cgplugin.cli.main import main\n"
        f"try: main({arguments})\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'openmm', 'mdtraj', 'lightning', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
