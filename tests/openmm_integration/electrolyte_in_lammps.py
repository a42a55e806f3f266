"""The electrolyte force field in real LAMMPS, written down from its JSON without a line of the package."""

import json
from pathlib import Path

import numpy as np

from cgplugin import MolecularSystem
from tests.conftest import SHARED
from tests.lammps_process import job, run_jobs

ELECTROLYTE = SHARED / "electrolyte"
BACKBONE, ANION = "EPHA", "NSF"

TERMS = {"bond": "ebond", "angle": "eangle", "pair": "evdwl", "coulomb": "ecoul", "coulomb_reciprocal": "elong"}


def raw_force_field() -> dict:
    """The JSON that the package ships."""
    import cgplugin

    return json.loads((Path(cgplugin.__file__).parent / "force_fields" / "electrolyte.json").read_text())


def write_data_file(path: Path, system: MolecularSystem, positions: np.ndarray, box_vectors: np.ndarray) -> None:
    """Plain ``atom_style full`` data, angles at every atom between two bonds."""
    raw = raw_force_field()
    types, kinds = raw["lammps_type_ids"], raw["bead_types"]
    neighbours: dict[int, list[int]] = {}
    for i, j in system.bonds.tolist():
        neighbours.setdefault(i, []).append(j)
        neighbours.setdefault(j, []).append(i)
    angles = [(a, middle, b) for middle, (a, *rest) in sorted(neighbours.items()) for b in rest]
    lines = ["made up", "", f"{system.n_atoms} atoms", f"{len(types)} atom types", f"{len(system.bonds)} bonds"]
    lines += ["1 bond types", f"{len(angles)} angles", "2 angle types", ""]
    box = box_vectors.tolist()
    lines += [f"0 {box[n][n]!r} {axis}lo {axis}hi" for n, axis in enumerate("xyz")]
    if any((box[1][0], box[2][0], box[2][1])):
        lines.append(f"{box[1][0]!r} {box[2][0]!r} {box[2][1]!r} xy xz yz")
    lines += ["", "Masses", "", *(f"{number} {kinds[name]['mass']}" for name, number in types.items())]
    lines += ["", "Atoms # full", ""]
    for n, (name, molecule, x) in enumerate(zip(system.atom_types, system.molecules, positions.tolist(), strict=True)):
        lines.append(f"{n + 1} {molecule + 1} {types[name]} {kinds[name]['charge']} {x[0]!r} {x[1]!r} {x[2]!r}")
    lines += ["", "Bonds", "", *(f"{n + 1} 1 {i + 1} {j + 1}" for n, (i, j) in enumerate(system.bonds.tolist()))]
    lines += ["", "Angles", ""]
    for n, (a, middle, b) in enumerate(angles):
        lines.append(f"{n + 1} {1 if system.atom_types[middle] in BACKBONE else 2} {a + 1} {middle + 1} {b + 1}")
    path.write_text("\n".join(lines) + "\n")


def lammps_commands(data_file: Path, accuracy: float, *kspace: str) -> list[str]:
    """Commands up to the coefficients; ``kspace`` are arguments of ``kspace_modify``."""
    raw = raw_force_field()
    types, kinds = raw["lammps_type_ids"], raw["bead_types"]
    own = {frozenset(key.split("-")): value for key, value in raw["pair"]["overrides_epsilon"].items()}
    commands = ["units lj", "atom_style full", "boundary p p p", f"dielectric {raw['pair']['lammps_dielectric']}"]
    commands += ["pair_style lj/cut/coul/long 2.5 3.0", "pair_modify shift yes table 0"]  # codespell:ignore coul
    commands += ["bond_style harmonic", "angle_style cosine", "special_bonds lj/coul 0 1 1"]  # codespell:ignore coul
    # the solver wants to know whether the box is tilted
    commands += [f"read_data {data_file}", f"kspace_style pppm {accuracy}"]
    commands += [f"kspace_modify {' '.join(kspace)}"] if kspace else []
    for a, i in types.items():
        for b, j in types.items():
            if i <= j:
                mixed = (kinds[a]["epsilon"] * kinds[b]["epsilon"]) ** 0.5
                epsilon = own.get(frozenset((a, b)), mixed)
                commands.append(f"pair_coeff {i} {j} {epsilon!r} {0.5 * (kinds[a]['sigma'] + kinds[b]['sigma'])!r}")
    commands += [f"bond_coeff 1 {raw['bond']['K']} {raw['bond']['r0']}"]
    return [*commands, *(f"angle_coeff {n + 1} {raw['angle'][kind]}" for n, kind in enumerate(("K_chain", "K_anion")))]


def energies_and_forces(data_files: list[Path], gewald: float, accuracy: float) -> list[tuple[dict, np.ndarray]]:
    """Energy of each term, and forces (n_atoms, 3) in the order of the ids, from PPPM with a given splitting of the sum."""
    jobs = []
    for path in data_files:
        commands = lammps_commands(path, accuracy, "gewald", repr(gewald))
        commands += ["thermo_modify norm no", "neighbor 0.5 bin", "run 0"]
        sort = "modify sort id format float %20.15g"
        commands.append(f"write_dump all custom {path}.forces fx fy fz {sort}")
        jobs.append(job(commands, tuple(TERMS.values())))
    return [
        ({term: found[name] for term, name in TERMS.items()}, np.loadtxt(f"{path}.forces", skiprows=9))
        for path, found in zip(data_files, run_jobs(jobs), strict=True)
    ]
