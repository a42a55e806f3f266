"""OPLS-AA and CL&P as an OpenMM System: residue templates, coverage, scaled ion charges, geometric mixing."""

import io
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from xml.sax.saxutils import quoteattr

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from cgplugin.errors import UserError

from .atom_types import assign_types
from .chemistry import Molecule

FILES = ("opls_aa.xml", "clp_litfsi.xml")
"""Force field files of this package."""

ION_CHARGE_SCALE = 0.8
"""Factor on the ions' charges: it stands for the electronic polarisability that fixed charges lack.

The authors of CL&P use 0.8 (their ``il-0.8.ff``), polymer electrolytes are simulated with 0.7 to 0.8, and the electronic
dielectric constant of poly(ethylene oxide), n^2 = 2.1, gives 1/n = 0.69 (Leontyev and Stuchebrukhov, doi:10.1039/c0cp01971b).
"""

FORCE_GROUPS = {"bond": 0, "angle": 1, "torsion": 2, "lj": 3, "coulomb and 1-4": 4}
"""Force group of each part of the energy; pairs three bonds apart have both their interactions in the last."""

EWALD_TOLERANCE = 5e-4

_LENNARD_JONES = "a1*a2*r^-12 - b1*b2*r^-6"
"""4 epsilon ((sigma/r)^12 - (sigma/r)^6) with geometric means of both, which are products of one number per atom (the form is the
fastest of those tried on OpenMM's CPU platform)."""


@dataclass(frozen=True)
class TypedMolecule:
    """A molecule with the force field's type of each atom.

    Attributes
    ----------
    molecule : Molecule
    types : tuple of str, length n_atoms
    """

    molecule: Molecule
    types: tuple[str, ...]

    @property
    def charges(self) -> NDArray[np.float64]:
        """Charges of the atoms in elementary charges, those of ions not scaled, shape (n_atoms,)."""
        parameters = _parameters()
        return np.array([parameters.charges[name] for name in self.types])

    @property
    def mass(self) -> float:
        """Mass in g/mol."""
        parameters = _parameters()
        return sum(parameters.masses[name] for name in self.types)


def type_molecule(molecule: Molecule) -> TypedMolecule:
    """Give a molecule its atom types, and see that the force field has all that it needs.

    Raises
    ------
    UserError
        If an atom, bond, angle or torsion is not covered, or the charges do not add up to the molecule's charge.
    """
    typed = TypedMolecule(molecule, assign_types(molecule))
    classes = tuple(_parameters().classes[name] for name in typed.types)
    for what, atoms in _internal_coordinates(molecule):
        key = tuple(classes[atom] for atom in atoms)
        if _canonical(key) not in _parameters().terms[what]:
            names = "-".join(molecule.elements[atom] for atom in atoms)
            raise UserError(
                f"{molecule.source!r}: the force field has no parameters for the {what} {names} (classes {'-'.join(key)}, "
                f"in unit {molecule.residue_of[atoms[0]] + 1} of the chain)"
            )
    formal = sum(atom.GetFormalCharge() for atom in molecule.graph.GetAtoms())
    per_residue = np.bincount(molecule.residue_of, typed.charges)
    if abs(per_residue.sum() - formal) > 1e-6:
        worst = int(np.argmax(np.abs(per_residue)))
        raise UserError(
            f"{molecule.source!r}: the force field's charges add up to {per_residue.sum():+.3f} and not to {formal:+d} (those of "
            f"unit {worst + 1} to {per_residue[worst]:+.3f}): it is not made for this combination of groups"
        )
    return typed


def build_topology(molecules: Sequence[TypedMolecule], box_edge: float) -> app.Topology:
    """Topology of molecules one behind the other in a cubic box: a chain each, with residues, elements and bonds.

    Parameters
    ----------
    molecules : sequence of TypedMolecule
    box_edge : float
        nm.
    """
    topology = app.Topology()
    for typed in molecules:
        molecule = typed.molecule
        chain = topology.addChain()
        residues = [topology.addResidue(molecule.residue_name, chain) for _ in range(molecule.n_residues)]
        atoms = [
            topology.addAtom(name, app.Element.getBySymbol(element), residues[residue])
            for name, element, residue in zip(molecule.atom_names, molecule.elements, molecule.residue_of, strict=True)
        ]
        for bond in molecule.graph.GetBonds():
            order = int(bond.GetBondTypeAsDouble())
            kind = {1: app.Single, 2: app.Double}[order]
            topology.addBond(atoms[bond.GetBeginAtomIdx()], atoms[bond.GetEndAtomIdx()], type=kind, order=order)
    topology.setPeriodicBoxVectors(box_edge * np.eye(3) * unit.nanometer)
    return topology


def create_system(
    molecules: Sequence[TypedMolecule],
    topology: app.Topology,
    *,
    cutoff: float,
    ion_charge_scale: float = ION_CHARGE_SCALE,
    rigid_hydrogens: bool = True,
) -> openmm.System:
    """All interactions of molecules in a periodic box.

    Lennard-Jones interactions are cut at ``cutoff``, with a correction for what is beyond in a homogeneous liquid; electrostatics
    is PME. Pairs one or two bonds apart do not interact, those three bonds apart with half of both. The parts of the energy have
    the force groups `FORCE_GROUPS`.

    Parameters
    ----------
    molecules : sequence of TypedMolecule
    topology : app.Topology
        Of these molecules; see `build_topology`.
    cutoff : float
        nm.
    ion_charge_scale : float
        Factor on the charges of molecules with a net charge.
    rigid_hydrogens : bool
        Constrain the bonds of hydrogens.

    Raises
    ------
    UserError
        If the box is smaller than twice the cutoff.
    """
    edges = np.diag(topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer))
    if edges.min() < 2 * cutoff:
        raise UserError(
            f"the box of {edges.min():.3g} nm is smaller than twice the cutoff of {cutoff:g} nm: take more or longer chains"
        )
    force_field = app.ForceField(*(io.StringIO(_text(name)) for name in FILES))
    templates = {}
    residues = topology.residues()
    known: dict[_Template, str] = {}
    for typed in molecules:
        for number in range(typed.molecule.n_residues):
            template = _Template.of(typed, number)
            if template not in known:
                known[template] = f"{typed.molecule.residue_name}-{len(known)}"
                force_field.loadFile(io.StringIO(template.xml(known[template])))
            templates[next(residues)] = known[template]
    system = force_field.createSystem(
        topology,
        nonbondedMethod=app.PME,
        nonbondedCutoff=cutoff * unit.nanometer,
        constraints=app.HBonds if rigid_hydrogens else None,
        removeCMMotion=False,
        ewaldErrorTolerance=EWALD_TOLERANCE,
        residueTemplates=templates,
    )
    nonbonded = _force(system, openmm.NonbondedForce)
    _scale_charges(nonbonded, _in_ions(molecules), ion_charge_scale)
    system.addForce(_geometric_lennard_jones(nonbonded))
    for force in system.getForces():
        force.setForceGroup(FORCE_GROUPS[_PARTS[type(force)]])
    return system


_PARTS = {
    openmm.HarmonicBondForce: "bond",
    openmm.HarmonicAngleForce: "angle",
    openmm.RBTorsionForce: "torsion",
    openmm.PeriodicTorsionForce: "torsion",
    openmm.CustomNonbondedForce: "lj",
    openmm.NonbondedForce: "coulomb and 1-4",
}


@dataclass(frozen=True)
class _Template:
    """What OpenMM is to know of a residue; equal ones are the same."""

    atoms: tuple[tuple[str, str], ...]
    bonds: tuple[tuple[int, int], ...]
    external: tuple[int, ...]

    @classmethod
    def of(cls, typed: TypedMolecule, residue: int) -> "_Template":
        molecule = typed.molecule
        members = [atom for atom, owner in enumerate(molecule.residue_of) if owner == residue]
        first = members[0]
        inside, external = [], []
        for i, j in molecule.bonds:
            owners = (molecule.residue_of[i], molecule.residue_of[j])
            if owners == (residue, residue):
                inside.append((i - first, j - first))
            elif residue in owners:
                external.append((i if owners[0] == residue else j) - first)
        atoms = tuple((molecule.atom_names[atom], typed.types[atom]) for atom in members)
        return cls(atoms, tuple(inside), tuple(external))

    def xml(self, name: str) -> str:
        """As a file that `app.ForceField` reads."""
        rows = [f"<Atom name={quoteattr(atom)} type={quoteattr(kind)}/>" for atom, kind in self.atoms]
        rows += [f'<Bond from="{i}" to="{j}"/>' for i, j in self.bonds]
        rows += [f'<ExternalBond from="{i}"/>' for i in self.external]
        return (
            f"<ForceField><Residues><Residue name={quoteattr(name)}>{''.join(rows)}</Residue></Residues></ForceField>"
        )


def _in_ions(molecules: Sequence[TypedMolecule]) -> NDArray[np.bool_]:
    """Whether each atom belongs to a molecule with a net charge."""
    return np.concatenate(
        [np.full(typed.molecule.n_atoms, abs(typed.charges.sum()) > 1e-6) for typed in molecules], dtype=np.bool_
    )


def _scale_charges(nonbonded: openmm.NonbondedForce, atoms: NDArray[np.bool_], factor: float) -> None:
    factors = np.where(atoms, factor, 1.0)
    for atom in np.flatnonzero(atoms).tolist():
        charge, sigma, epsilon = nonbonded.getParticleParameters(atom)
        nonbonded.setParticleParameters(atom, factor * charge, sigma, epsilon)
    for number in range(nonbonded.getNumExceptions()):
        i, j, product, sigma, epsilon = nonbonded.getExceptionParameters(number)
        nonbonded.setExceptionParameters(number, i, j, factors[i] * factors[j] * product, sigma, epsilon)


def _geometric_lennard_jones(nonbonded: openmm.NonbondedForce) -> openmm.CustomNonbondedForce:
    """Move the Lennard-Jones interaction to a force of its own that mixes geometrically.

    Exceptions stay, with their sigma mixed geometrically, too; epsilon is a geometric mean in OpenMM as well.
    """
    n_atoms = nonbonded.getNumParticles()
    lj = openmm.CustomNonbondedForce(_LENNARD_JONES)
    lj.addPerParticleParameter("a")
    lj.addPerParticleParameter("b")
    lj.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    lj.setCutoffDistance(nonbonded.getCutoffDistance())
    lj.setUseLongRangeCorrection(True)
    sigmas = np.empty(n_atoms)
    for atom in range(n_atoms):
        charge, sigma, epsilon = nonbonded.getParticleParameters(atom)
        sigmas[atom] = sigma.value_in_unit(unit.nanometer)
        root = 2 * np.sqrt(epsilon.value_in_unit(unit.kilojoule_per_mole))
        lj.addParticle([root * sigmas[atom] ** 6, root * sigmas[atom] ** 3])
        nonbonded.setParticleParameters(atom, charge, sigma, 0.0)
    for number in range(nonbonded.getNumExceptions()):
        i, j, product, _, epsilon = nonbonded.getExceptionParameters(number)
        nonbonded.setExceptionParameters(number, i, j, product, np.sqrt(sigmas[i] * sigmas[j]), epsilon)
        lj.addExclusion(i, j)
    nonbonded.setUseDispersionCorrection(False)
    return lj


def _force(system: openmm.System, kind: type[openmm.Force]) -> openmm.Force:
    return next(force for force in system.getForces() if isinstance(force, kind))


def _internal_coordinates(molecule: Molecule) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Bonds, angles and torsions of a molecule."""
    for i, j in molecule.bonds:
        yield "bond", (i, j)
    for centre, others in enumerate(molecule.neighbours):
        for i, j in itertools.combinations(others, 2):
            yield "angle", (i, centre, j)
    for j, k in molecule.bonds:
        for i in molecule.neighbours[j]:
            for m in molecule.neighbours[k]:
                if i != k and m not in (j, i):
                    yield "torsion", (i, j, k, m)


@dataclass(frozen=True)
class _Parameters:
    """What is looked up before OpenMM reads the files: it leaves out, in silence, terms that have no parameters."""

    classes: dict[str, str]
    masses: dict[str, float]
    charges: dict[str, float]
    terms: dict[str, frozenset[tuple[str, ...]]]


@cache
def _parameters() -> _Parameters:
    roots = [ET.fromstring(_text(name)) for name in FILES]  # noqa: S314 - files of this package
    types = [item for root in roots for item in root.iterfind("AtomTypes/Type")]
    atoms = [item for root in roots for item in root.iterfind("NonbondedForce/Atom")]
    tags = {"bond": "HarmonicBondForce/Bond", "angle": "HarmonicAngleForce/Angle", "torsion": "RBTorsionForce/Proper"}
    return _Parameters(
        classes={item.attrib["name"]: item.attrib["class"] for item in types},
        masses={item.attrib["name"]: float(item.attrib["mass"]) for item in types},
        charges={item.attrib["type"]: float(item.attrib["charge"]) for item in atoms},
        terms={
            what: frozenset(
                _canonical(tuple(value for key, value in item.attrib.items() if key.startswith("class")))
                for root in roots
                for item in root.iterfind(tag)
            )
            for what, tag in tags.items()
        },
    )


def _canonical(key: tuple[str, ...]) -> tuple[str, ...]:
    return min(key, key[::-1])


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
