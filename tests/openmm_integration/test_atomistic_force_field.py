"""The all-atom force field against real LAMMPS with published numbers typed anew, and against what is known of the molecules."""

import itertools
import sys
import xml.etree.ElementTree as ET
from importlib import resources, util
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

pytest.importorskip("rdkit")

from cgplugin import UserError
from openmm_integration.atomistic.atom_types import PATTERNS, assign_types
from openmm_integration.atomistic.chemistry import LITHIUM, TFSI, Molecule, build_chain, build_ion
from openmm_integration.atomistic.force_field import (
    FILES,
    FORCE_GROUPS,
    TypedMolecule,
    build_topology,
    create_system,
    type_molecule,
)
from openmm_integration.atomistic.packing import embed, pack
from tests.lammps_process import job, run_jobs

KCAL = 4.184

# ---- the numbers, typed from the papers' tables: kcal/mol, A, degrees, K without 1/2 (OPLS-AA); kJ/mol with 1/2 (CL&P)

CLASSES = {
    "opls_135 opls_136 opls_137 opls_181 opls_182 opls_183 opls_468 opls_490": "CT",
    "opls_140 opls_185 opls_282 opls_469 opls_190": "HC",
    "opls_180 opls_186 opls_467": "OS",
    "opls_189": "CO",
    "opls_465": "C_2",
    "opls_466": "O_2",
    "clp_F1": "F",
    "clp_CBT": "CF",
    "clp_SBT": "S",
    "clp_OBT": "OB",
    "clp_NBT": "N",
    "clp_Li": "Li",
}
CLASS_OF = {name: kind for names, kind in CLASSES.items() for name in names.split()}
NONBONDED = {  # charge, epsilon in kcal/mol, sigma in A
    "opls_135": (-0.18, 0.066, 3.5),
    "opls_136": (-0.12, 0.066, 3.5),
    "opls_140": (0.06, 0.03, 2.5),
    "opls_180": (-0.4, 0.14, 2.9),
    "opls_181": (0.11, 0.066, 3.5),
    "opls_182": (0.14, 0.066, 3.5),
    "opls_185": (0.03, 0.03, 2.5),
    "opls_186": (-0.4, 0.14, 2.9),
    "opls_189": (0.2, 0.066, 3.5),
    "opls_190": (0.1, 0.03, 2.5),
    "opls_282": (0.06, 0.015, 2.42),
    "opls_465": (0.51, 0.105, 3.75),
    "opls_466": (-0.43, 0.21, 2.96),
    "opls_467": (-0.33, 0.17, 3.0),
    "opls_468": (0.16, 0.066, 3.5),
    "opls_469": (0.03, 0.015, 2.42),
    "opls_490": (0.19, 0.066, 3.5),
    "clp_F1": (-0.16, 0.22175 / KCAL, 2.95),
    "clp_CBT": (0.35, 0.27614 / KCAL, 3.5),
    "clp_SBT": (1.02, 1.046 / KCAL, 3.55),
    "clp_OBT": (-0.53, 0.87864 / KCAL, 2.96),
    "clp_NBT": (-0.66, 0.71128 / KCAL, 3.25),
    "clp_Li": (1.0, 0.07648 / KCAL, 2.126),
}
BONDS = {
    "CT CT": (268, 1.529),
    "CT HC": (340, 1.09),
    "CT OS": (320, 1.41),
    "CO OS": (320, 1.38),
    "CO HC": (340, 1.09),
    "C_2 CT": (317, 1.522),
    "C_2 O_2": (570, 1.229),
    "C_2 OS": (214, 1.327),
    "CF F": (3698 / 2 / KCAL, 1.323),
    "CF S": (1950 / 2 / KCAL, 1.818),
    "OB S": (5331 / 2 / KCAL, 1.437),
    "N S": (3137 / 2 / KCAL, 1.57),
}
ANGLES = {
    "CT CT CT": (58.35, 112.7),
    "CT CT HC": (37.5, 110.7),
    "HC CT HC": (33, 107.8),
    "CT CT OS": (50, 109.5),
    "HC CT OS": (35, 109.5),
    "CT OS CT": (60, 109.5),
    "CO OS CT": (60, 109.5),
    "OS CO OS": (92.6, 111.55),
    "HC CO OS": (35, 109.5),
    "HC CO HC": (33, 109.5),
    "C_2 CT CT": (63, 111.1),
    "C_2 CT HC": (35, 109.5),
    "CT C_2 O_2": (80, 120.4),
    "CT C_2 OS": (81, 111.4),
    "OS C_2 O_2": (83, 123.4),
    "C_2 OS CT": (83, 116.9),
    "F CF F": (781 / 2 / KCAL, 107.1),
    "F CF S": (694 / 2 / KCAL, 111.7),
    "OB S OB": (969 / 2 / KCAL, 118.5),
    "CF S OB": (870 / 2 / KCAL, 102.6),
    "N S OB": (789 / 2 / KCAL, 113.6),
    "CF S N": (764 / 2 / KCAL, 103.5),
    "S N S": (671 / 2 / KCAL, 125.6),
}
TORSIONS = {
    "HC CT CT HC": (0, 0, 0.3),
    "CT CT CT HC": (0, 0, 0.3),
    "CT CT CT CT": (1.3, -0.05, 0.2),
    "HC CT CT OS": (0, 0, 0.468),
    "CT CT CT OS": (1.711, -0.5, 0.663),
    "OS CT CT OS": (-0.55, 0, 0),
    "CT CT OS CT": (0.65, -0.25, 0.67),
    "CT OS CT HC": (0, 0, 0.76),
    "CO OS CT CT": (0.65, -0.25, 0.67),
    "CO OS CT HC": (0, 0, 0.76),
    "CT OS CO HC": (0, 0, 0.76),
    "CT OS CO OS": (-0.375, -1.358, 0.004),
    "CT C_2 OS CT": (4.669, 5.124, 0),
    "CT OS C_2 O_2": (0, 5.124, 0),
    "C_2 OS CT CT": (-1.22, -0.126, 0.422),
    "C_2 OS CT HC": (0, 0, 0.198),
    "CT CT C_2 OS": (0, 0, -0.553),
    "CT CT C_2 O_2": (-0.277, 1.228, -0.694),
    "HC CT C_2 OS": (0, 0, 0.132),
    "HC CT C_2 O_2": (0, 0, 0),
    "C_2 CT CT CT": (-1.697, -0.456, 0.585),
    "C_2 CT CT HC": (0, 0, -0.076),
    "C_2 CT CT C_2": (-0.55, 0, 1),
    "OB S CF F": (0, 0, 1.451 / KCAL),
    "N S CF F": (0, 0, 1.322 / KCAL),
    "OB S N S": (0, 0, -0.015 / KCAL),
    "S N S CF": (32.773 / KCAL, -10.42 / KCAL, -3.195 / KCAL),
}
IMPROPER = 10.5  # kcal/mol, K (1 - cos 2 phi) at the ester's carbon


def found_in(table: dict[str, tuple], classes: tuple[str, ...]) -> tuple[str, tuple]:
    for key in (" ".join(classes), " ".join(classes[::-1])):
        if key in table:
            return key, table[key]
    raise KeyError(classes)


def lammps_data(
    path: Path, molecules: list[TypedMolecule], positions: np.ndarray, edge: float, impropers: list, scale: float | None
) -> list[str]:
    """Write the molecules as a LAMMPS data file with the tables of this file, and give the commands that read it.

    The scale is that of the ions' charges; without one there are no charges at all.
    """
    types = [name for typed in molecules for name in typed.types]
    names = sorted(set(types))
    rows: dict[str, list] = {"Bonds": [], "Angles": [], "Dihedrals": [], "Impropers": impropers}
    kinds: dict[str, dict] = {"Bonds": {}, "Angles": {}, "Dihedrals": {}, "Impropers": {"ester": (IMPROPER,)}}

    def add(section: str, table: dict, atoms: tuple[int, ...]) -> None:
        key, values = found_in(table, tuple(CLASS_OF[types[atom]] for atom in atoms))
        kinds[section].setdefault(key, values)
        rows[section].append((list(kinds[section]).index(key) + 1, *(atom + 1 for atom in atoms)))

    atoms = []
    first = 0
    for number, typed in enumerate(molecules):
        molecule = typed.molecule
        ion = abs(sum(NONBONDED[name][0] for name in typed.types)) > 1e-6
        for atom, name in enumerate(typed.types):
            charge = 0.0 if scale is None else NONBONDED[name][0] * (scale if ion else 1)
            x = " ".join(f"{value!r}" for value in (10 * positions[first + atom]).tolist())
            atoms.append(f"{first + atom + 1} {number + 1} {names.index(name) + 1} {charge!r} {x}")
        around = [[first + other for other in others] for others in molecule.neighbours]
        for i, j in molecule.bonds:
            add("Bonds", BONDS, (first + i, first + j))
            for k, m in itertools.product(around[i], around[j]):
                if k != first + j and m != first + i:
                    add("Dihedrals", TORSIONS, (k, first + i, first + j, m))
        for centre, others in enumerate(around):
            for i, j in itertools.combinations(others, 2):
                add("Angles", ANGLES, (i, first + centre, j))
        first += molecule.n_atoms
    sizes = {"bond": "Bonds", "angle": "Angles", "dihedral": "Dihedrals", "improper": "Impropers"}
    lines = ["all-atom", "", f"{len(atoms)} atoms", f"{len(names)} atom types"]
    lines += [f"{len(rows[section])} {kind}s" for kind, section in sizes.items()]
    lines += [f"{len(kinds[section])} {kind} types" for kind, section in sizes.items() if rows[section]]
    lines += [f"0 {10 * edge!r} {axis}lo {axis}hi" for axis in "xyz"]
    lines += ["", "Masses", "", *(f"{i + 1} 1.0" for i in range(len(names))), "", "Atoms # full", "", *atoms]
    for section in sizes.values():
        if rows[section]:
            lines += ["", section, "", *(f"{i + 1} " + " ".join(map(str, row)) for i, row in enumerate(rows[section]))]
    path.write_text("\n".join(lines) + "\n")
    return [
        "units real",
        "atom_style full",
        f"pair_style {'lj/cut' if scale is None else 'lj/cut/coul/long'} 10.0",
        "pair_modify mix geometric tail yes",
        "special_bonds lj/coul 0 0 0.5",
        "bond_style harmonic",
        "angle_style harmonic",
        "dihedral_style opls",
        *(["improper_style cvff"] if impropers else []),
        f"kspace_style {'none' if scale is None else 'ewald 1e-7'}",
        f"read_data {path}",
        *(f"pair_coeff {i + 1} {i + 1} {NONBONDED[name][1]!r} {NONBONDED[name][2]!r}" for i, name in enumerate(names)),
        *(f"bond_coeff {i + 1} {k!r} {r!r}" for i, (k, r) in enumerate(kinds["Bonds"].values())),
        *(f"angle_coeff {i + 1} {k!r} {t!r}" for i, (k, t) in enumerate(kinds["Angles"].values())),
        *(f"dihedral_coeff {i + 1} {a!r} {b!r} {c!r} 0" for i, (a, b, c) in enumerate(kinds["Dihedrals"].values())),
        *([f"improper_coeff 1 {IMPROPER} -1 2"] if impropers else []),
        "run 0",
    ]


def packed(molecules: list[Molecule], edge: float, seed: int = 1) -> np.ndarray:
    """Start positions, with all atoms moved a little so that no term is at its minimum."""
    generator = np.random.default_rng(seed)
    positions = np.concatenate(pack(molecules, [embed(molecule, seed) for molecule in molecules], edge, generator))
    return positions + generator.normal(scale=0.01, size=positions.shape)


def context_of(system: openmm.System, positions: np.ndarray) -> openmm.Context:
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(positions)
    return context


def energies(context: openmm.Context) -> dict[str, float]:
    return {
        name: context.getState(energy=True, groups={group}).getPotentialEnergy()._value
        for name, group in FORCE_GROUPS.items()
    }


@pytest.mark.parametrize("charged", [True, False])
def test_energies_agree_with_lammps_term_by_term(tmp_path: Path, charged: bool) -> None:
    """Ether, acetal, ester, anion and cation in one box."""
    graphs = [build_chain(smiles, 2) for smiles in ("*CCO*", "*OCCOC*", "*OCCOC(=O)CCCCC(=O)*", "*OCCOC(=O)CCC(=O)*")]
    graphs += [build_ion(TFSI, "TFS"), build_ion(LITHIUM, "LI")]
    molecules = [type_molecule(graph) for graph in graphs]
    edge, scale = 2.6, 0.7
    positions = packed(graphs, edge)
    system = create_system(
        molecules, build_topology(molecules, edge), cutoff=1.0, ion_charge_scale=scale, rigid_hydrogens=False
    )
    forces = {type(force): force for force in system.getForces()}
    coulomb, improper = forces[openmm.NonbondedForce], forces[openmm.PeriodicTorsionForce]
    coulomb.setEwaldErrorTolerance(1e-7)
    if not charged:
        without_charges(coulomb)
    quadruples = [improper.getTorsionParameters(i)[:4] for i in range(improper.getNumTorsions())]
    assert len(quadruples) == 8, "one for each ester"
    impropers = [(1, *(atom + 1 for atom in atoms)) for atoms in quadruples]
    ours = energies(context_of(system, positions))
    commands = lammps_data(tmp_path / "x.data", molecules, positions, edge, impropers, scale if charged else None)
    theirs = run_jobs([job(commands, ("ebond", "eangle", "edihed", "eimp", "evdwl", "ecoul", "elong"))])[0]
    assert ours["bond"] == pytest.approx(KCAL * theirs["ebond"], rel=1e-6)
    assert ours["angle"] == pytest.approx(KCAL * theirs["eangle"], rel=1e-6)
    # V1, V2, V3 have three digits
    assert ours["torsion"] == pytest.approx(KCAL * (theirs["edihed"] + theirs["eimp"]), abs=0.05)
    pairs = KCAL * (theirs["evdwl"] + theirs["ecoul"] + theirs["elong"])
    assert ours["lj"] + ours["coulomb and 1-4"] == pytest.approx(pairs, rel=2e-6, abs=0.01)
    # none of them small by accident
    assert abs(pairs) > 10
    assert KCAL * theirs["eimp"] > 1
    assert (theirs["elong"] != 0) == charged


def without_charges(force: openmm.NonbondedForce) -> None:
    for atom in range(force.getNumParticles()):
        force.setParticleParameters(atom, 0, *force.getParticleParameters(atom)[1:])
    for number in range(force.getNumExceptions()):
        i, j, _, sigma, epsilon = force.getExceptionParameters(number)
        force.setExceptionParameters(number, i, j, 0, sigma, epsilon)


# ---- molecules by themselves


def minima(molecule: Molecule) -> list[tuple[float, np.ndarray]]:
    """Local minima in vacuum, with full charges: energy in kJ/mol above the lowest, positions in nm."""
    typed = type_molecule(molecule)
    topology = build_topology([typed], 5.0)
    system = create_system([typed], topology, cutoff=1.0, ion_charge_scale=1.0, rigid_hydrogens=False)
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce | openmm.CustomNonbondedForce):
            force.setNonbondedMethod(force.NoCutoff)
        if isinstance(force, openmm.CustomNonbondedForce):
            force.setUseLongRangeCorrection(False)
    found = []
    context = context_of(system, np.zeros((molecule.n_atoms, 3)))
    for positions in embed(molecule, 3).positions:
        context.setPositions(positions)
        openmm.LocalEnergyMinimizer.minimize(context, 1e-3, 0)
        state = context.getState(energy=True, positions=True)
        found.append((state.getPotentialEnergy()._value, np.array(state.getPositions(asNumpy=True)._value)))
    lowest = min(energy for energy, _ in found)
    return sorted(((energy - lowest, positions) for energy, positions in found), key=lambda item: item[0])


def torsion(positions: np.ndarray, atoms: list[int]) -> float:
    """Degrees, 0 to 180."""
    frame = mdtraj.Trajectory(positions[None], None)
    return abs(np.degrees(mdtraj.compute_dihedrals(frame, [atoms])[0, 0]))


def test_geometry_of_tfsi() -> None:
    """Bond lengths and angle as in crystals and ab initio calculations, e.g. doi:10.1021/jp0476545, table 3."""
    anion = build_ion(TFSI, "TFS")
    c1, s1, n, s2, c2 = (anion.atom_names.index(name) for name in ("C1", "S1", "N1", "S2", "C2"))
    o, f = anion.atom_names.index("O1"), anion.atom_names.index("F1")
    found = minima(anion)
    positions = found[0][1]
    for pair, length in {(c1, s1): 0.183, (s1, n): 0.157, (s2, n): 0.157, (s1, o): 0.144, (c1, f): 0.133}.items():
        assert np.linalg.norm(positions[pair[0]] - positions[pair[1]]) == pytest.approx(length, abs=0.0025), pair
    to_s1, to_s2 = positions[s1] - positions[n], positions[s2] - positions[n]
    angle = np.degrees(np.arccos(to_s1 @ to_s2 / np.linalg.norm(to_s1) / np.linalg.norm(to_s2)))
    assert angle == pytest.approx(126, abs=2.5)
    # trans (C2) is the lowest; cis (C1) is 2.2 (infrared) to 4.6 kJ/mol (ab initio) above: doi:10.1021/jp0612477
    assert torsion(positions, [c1, s1, s2, c2]) > 160
    cis = next(energy for energy, x in found if torsion(x, [c1, s1, s2, c2]) < 60)
    assert 2 < cis < 5


def test_rotamers_of_ethers() -> None:
    """Gauche about C-O costs 6.3 +- 0.8 kJ/mol (Raman, methoxyethane), and more than gauche about C-C in dimethoxyethane."""
    ether = build_chain("*CCO*", 1)
    backbone = [atom for atom, element in enumerate(ether.elements) if element != "H"]
    found = minima(ether)
    assert torsion(found[0][1], backbone) == pytest.approx(180, abs=1)
    gauche = next(energy for energy, x in found if torsion(x, backbone) < 100)
    assert gauche == pytest.approx(6.3, abs=0.8)

    glyme = build_chain("*COC*", 2)
    backbone = [atom for atom, element in enumerate(glyme.elements) if element != "H"]
    named = {
        "".join("t" if torsion(x, backbone[i : i + 4]) > 140 else "g" for i in range(3)): energy
        for energy, x in reversed(minima(glyme))
    }
    assert named["ttt"] == 0
    assert 0 < named["tgt"] < min(named.get("ttg", 99), named.get("gtt", 99))


# ---- types and charges

COVERED = [
    "*CCO*",
    "*CC(C)O*",
    "*C(C)(C)CO*",
    "*CCCCO*",
    "*OCCOC*",
    "*CC(COCCOC)O*",
    "*OCCCCCC(=O)*",
    "*OCCOC(=O)CCCCC(=O)*",
    "*OC(C)CCCC(=O)*",
    "*OCCOC(=O)CCC(=O)*",
    "*OCC1CCC(CC1)COC(=O)CCCC(=O)*",
]


@pytest.mark.parametrize("end_groups", ["alkyl", "hydroxyl"])
@pytest.mark.parametrize("smiles", COVERED)
def test_covered_polymers_are_neutral(smiles: str, end_groups: str) -> None:
    if (smiles, end_groups) == ("*OCCOC*", "hydroxyl"):
        with pytest.raises(UserError, match="no type for O bonded to C"):
            type_molecule(build_chain(smiles, 4, end_groups="hydroxyl"))
        return
    typed = type_molecule(build_chain(smiles, 4, end_groups=end_groups))  # type: ignore[arg-type]
    charges = typed.charges
    assert charges.sum() == pytest.approx(0, abs=1e-9)
    assert np.abs(charges).max() > 0.1


def test_ions_have_their_charges_scaled_and_chains_have_not() -> None:
    molecules = [type_molecule(build_chain("*CCO*", 2)), type_molecule(build_ion(TFSI, "TFS"))]
    molecules.append(type_molecule(build_ion(LITHIUM, "LI")))
    system = create_system(molecules, build_topology(molecules, 3.0), cutoff=1.0, ion_charge_scale=0.7)
    force = next(force for force in system.getForces() if isinstance(force, openmm.NonbondedForce))
    charges = [force.getParticleParameters(i)[0]._value for i in range(force.getNumParticles())]
    n_chain = molecules[0].molecule.n_atoms
    assert charges[:n_chain] == pytest.approx(molecules[0].charges.tolist())
    assert sum(charges[n_chain:-1]) == pytest.approx(-0.7)
    assert charges[-1] == pytest.approx(0.7)


def test_no_atom_matches_two_types() -> None:
    """In pieces of chain of all kinds; `assign_types` asserts it."""
    fragments = ["C", "C(C)", "CC", "O", "C(=O)O", "C(O)", "C(OC)", "C(C)(C)"]
    tried = 0
    for left, middle, right in itertools.product(fragments, repeat=3):
        try:
            tried += len(assign_types(build_chain(f"*C{left}{middle}{right}C*", 2))) > 0
        except UserError:
            continue
    assert tried > 50


def test_every_type_of_the_table_is_in_the_files_and_the_other_way_round() -> None:
    in_files = set()
    for name in FILES:
        root = ET.fromstring(resources.files("openmm_integration.atomistic").joinpath(name).read_text())  # noqa: S314
        types = {item.attrib["name"] for item in root.iterfind("AtomTypes/Type")}
        assert types == {item.attrib["type"] for item in root.iterfind("NonbondedForce/Atom")}
        in_files |= types
    assert in_files == {name for name, _ in PATTERNS}


@pytest.mark.parametrize(
    ("smiles", "words"),
    [
        ("*CC(F)O*", "no type for F bonded to C"),
        ("*CCNC(=O)*", "no type for N bonded to C C H"),
        ("*Oc1ccccc1*", "no type for O bonded to C C"),
        ("*CCOC(=O)O*", "no type for O"),
        ("*C1OC1*", "no type for C bonded to C H H O in a ring of 3"),
        ("*CC(=O)C*", "no type for O bonded to C"),
        ("*OC(C)C(=O)*", "no parameters for the torsion"),
        ("*OCO*", "no type for O"),
        ("CCO", "has 0 ends"),
        ("*CCO", "has 1 ends"),
        ("*CC(", "is no SMILES"),
        ("*C(C)(C)(C)C*", "is no molecule"),
        ("*CC[N+](C)(C)*", "charge or a radical at N (atom 4)"),
        ("**", "cannot be joined"),
        ("*=CC=*", "cannot be joined"),
        ("*CC*.O", "cannot be joined"),
        ("*CCS*", "ends in S"),
    ],
)
def test_what_is_not_covered_is_named(smiles: str, words: str) -> None:
    with pytest.raises(UserError, match=r"^[^\n]*$") as caught:
        type_molecule(build_chain(smiles, 3))
    assert words in str(caught.value)
    assert smiles in str(caught.value)


def test_a_missing_rdkit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(UserError, match=r"pip install 'cgplugin\[atomistic\]'"):
        build_chain("*CCO*", 2)


def test_a_small_box_is_refused() -> None:
    molecules = [type_molecule(build_chain("*CCO*", 2))]
    with pytest.raises(UserError, match="smaller than twice the cutoff of 1 nm"):
        create_system(molecules, build_topology(molecules, 1.9), cutoff=1.0)


def test_the_topology_has_elements_residues_and_bond_orders() -> None:
    molecules = [type_molecule(build_chain("*OCCOC(=O)CCCC(=O)*", 3, residue_name="PGA"))]
    topology = build_topology(molecules, 3.0)
    assert [residue.name for residue in topology.residues()] == ["PGA"] * 3
    assert sum(bond.order == 2 for bond in topology.bonds()) == 6
    assert all(bond.type is app.Double for bond in topology.bonds() if bond.order == 2)
    for residue in topology.residues():
        names = [atom.name for atom in residue.atoms()]
        assert len(set(names)) == len(names)
    weights = [atom.element.mass.value_in_unit(unit.dalton) for atom in topology.atoms()]
    assert molecules[0].mass == pytest.approx(sum(weights), rel=1e-4)


def foyer_files() -> Path | None:
    spec = util.find_spec("foyer")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "forcefields" / "xml" / "oplsaa.xml"


@pytest.mark.skipif(foyer_files() is None, reason="foyer, which ships OPLS-AA, is not installed")
def test_parameters_are_those_of_foyer() -> None:
    ours = ET.fromstring(resources.files("openmm_integration.atomistic").joinpath("opls_aa.xml").read_text())  # noqa: S314
    theirs = ET.parse(foyer_files()).getroot()  # type: ignore[arg-type] # noqa: S314
    for tag in ("HarmonicBondForce", "HarmonicAngleForce", "RBTorsionForce", "NonbondedForce"):
        table: dict[tuple[str, ...], dict[str, str]] = {}
        for item in theirs.find(tag):  # type: ignore[union-attr]
            key = tuple(value for name, value in item.attrib.items() if name.startswith(("class", "type")))
            table.setdefault(min(key, key[::-1]), dict(item.attrib))
        rows = list(ours.find(tag))  # type: ignore[arg-type]
        assert rows
        for item in rows:
            key = tuple(value for name, value in item.attrib.items() if name.startswith(("class", "type")))
            if key == ("C_2", "CT", "CT", "C_2"):
                continue  # younger than foyer's
            other = table[min(key, key[::-1])]
            for name, value in item.attrib.items():
                if not name.startswith(("class", "type")):
                    assert float(value) == pytest.approx(float(other[name]), abs=1e-6), (tag, key, name)
