"""The arrows between the packages."""

import ast

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
