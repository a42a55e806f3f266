"""From the SMILES of a repeat unit to the graph of a whole chain, with hydrogens and residues."""

from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, Literal

from cgplugin.errors import UserError

EndGroups = Literal["alkyl", "hydroxyl"]
"""How chains end; see `build_chain`."""

TFSI = "C(F)(F)(F)S(=O)(=O)[N-]S(=O)(=O)C(F)(F)F"
LITHIUM = "[Li+]"

_CAPS: dict[EndGroups, dict[str, str]] = {
    "alkyl": {"oxygen": "C", "carbonyl": "OC", "carbon": ""},
    "hydroxyl": {"oxygen": "", "carbonyl": "OC", "carbon": "O"},
}
"""What takes the place of the two ``*``, by the atom that it is bonded to; nothing is a hydrogen."""


@dataclass(frozen=True)
class Molecule:
    """A molecule with all its hydrogens, in residues that follow each other.

    Attributes
    ----------
    source : str
        The SMILES that it was made from, for messages.
    graph : rdkit.Chem.Mol
        Atoms residue by residue, hydrogens behind the atom that they are bonded to.
    residue_name : str
        Up to three characters, as in a PDB file.
    residue_of : tuple of int, length n_atoms
    heads, tails : tuple of int
        Per residue, its atom that is bonded to the residue before, and after; at a chain's ends the atom that would be.
    """

    source: str
    graph: Any = field(repr=False)
    residue_name: str
    residue_of: tuple[int, ...] = field(repr=False)
    heads: tuple[int, ...] = field(repr=False)
    tails: tuple[int, ...] = field(repr=False)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.residue_of)

    @property
    def n_residues(self) -> int:
        """Number of residues, which are the repeat units of a chain."""
        return len(self.heads)

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Symbol of every atom's element."""
        return tuple(atom.GetSymbol() for atom in self.graph.GetAtoms())

    @cached_property
    def bonds(self) -> tuple[tuple[int, int], ...]:
        """Pairs of bonded atoms."""
        return tuple((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in self.graph.GetBonds())

    @cached_property
    def neighbours(self) -> tuple[tuple[int, ...], ...]:
        """Atoms bonded to each atom."""
        return tuple(tuple(other.GetIdx() for other in atom.GetNeighbors()) for atom in self.graph.GetAtoms())

    @cached_property
    def atom_names(self) -> tuple[str, ...]:
        """Names as in a PDB file, unique within a residue: element and number."""
        counts: dict[tuple[int, str], int] = {}
        names = []
        for residue, element in zip(self.residue_of, self.elements, strict=True):
            counts[residue, element] = number = counts.get((residue, element), 0) + 1
            names.append(f"{element.upper()}{number}" if self.n_atoms > 1 else element.upper())
        return tuple(names)

    def describe_atom(self, atom: int) -> str:
        """Words for an atom in a message: its element, what it is bonded to, a strained ring."""
        around = " ".join(sorted(self.elements[other] for other in self.neighbours[atom]))
        ring = next(
            (f" in a ring of {size}" for size in (3, 4) if self.graph.GetAtomWithIdx(atom).IsInRingSize(size)), ""
        )
        return f"{self.elements[atom]} bonded to {around or 'nothing'}{ring}"


def rdkit_chem() -> ModuleType:
    """The module `rdkit.Chem`, which is imported where it is needed.

    Raises
    ------
    UserError
        If RDKit is not installed.
    """
    try:
        from rdkit import Chem
    except ImportError:
        raise UserError("atomistic systems need RDKit: pip install 'cgplugin[atomistic]'") from None
    module: ModuleType = Chem
    return module


def build_chain(smiles: str, n_units: int, *, end_groups: EndGroups = "alkyl", residue_name: str = "POL") -> Molecule:
    """A linear chain of equal repeat units, joined head to tail.

    Stereocentres that the SMILES leaves open come out at random: an atactic chain.

    Parameters
    ----------
    smiles : str
        Repeat unit with two ``*``: ``*CCO*`` is poly(ethylene oxide). The first is the head.
    n_units : int
    end_groups : str
        A carbonyl carbon at the end of the chain gets OCH3. ``alkyl``: an oxygen gets CH3, another carbon H. ``hydroxyl``: an
        oxygen gets H, another carbon OH.
    residue_name : str
        Of every unit; the end groups belong to the first and the last.

    Raises
    ------
    UserError
        If this is no repeat unit: the message says why.
    """
    chem = rdkit_chem()
    unit, stars = _repeat_unit(smiles)
    ends = [unit.GetAtomWithIdx(star).GetNeighbors()[0].GetIdx() for star in stars]
    chain = chem.RWMol()
    offsets = []
    for number in range(n_units):
        offsets.append(chain.GetNumAtoms())
        chain.InsertMol(unit)
        for atom in range(offsets[-1], chain.GetNumAtoms()):
            chain.GetAtomWithIdx(atom).SetIntProp("residue", number)
        if number:
            chain.AddBond(offsets[-2] + ends[1], offsets[-1] + ends[0], chem.BondType.SINGLE)
    for end, number in ((0, 0), (1, n_units - 1)):
        atom = unit.GetAtomWithIdx(ends[end])
        first = chain.GetNumAtoms()
        cap = chem.MolFromSmiles(_CAPS[end_groups][_kind_of_end(smiles, atom)])
        chain.InsertMol(cap)
        for index in range(first, chain.GetNumAtoms()):
            chain.GetAtomWithIdx(index).SetIntProp("residue", number)
        if chain.GetNumAtoms() > first:
            chain.AddBond(offsets[number] + ends[end], first, chem.BondType.SINGLE)
    heads = [offset + ends[0] for offset in offsets]
    tails = [offset + ends[1] for offset in offsets]
    for role, atoms in (("head", heads), ("tail", tails)):
        for index in atoms:
            chain.GetAtomWithIdx(index).SetBoolProp(role, True)
    chain.BeginBatchEdit()
    for offset in offsets:
        for star in stars:
            chain.RemoveAtom(offset + star)
    chain.CommitBatchEdit()
    chem.SanitizeMol(chain)
    return _with_hydrogens(smiles, chain.GetMol(), residue_name)


def build_ion(smiles: str, residue_name: str) -> Molecule:
    """A molecule of a single residue, such as `TFSI` or `LITHIUM`."""
    graph = rdkit_chem().MolFromSmiles(smiles)
    for atom in graph.GetAtoms():
        atom.SetIntProp("residue", 0)
    return _with_hydrogens(smiles, graph, residue_name)


def _repeat_unit(smiles: str) -> tuple[Any, list[int]]:
    """Graph of a repeat unit, and its two ``*``."""
    chem = rdkit_chem()
    from rdkit import rdBase

    with rdBase.BlockLogs():
        unit = chem.MolFromSmiles(smiles, sanitize=False)
        if unit is None:
            raise UserError(f"the repeat unit {smiles!r} is no SMILES")
        if problems := chem.DetectChemistryProblems(unit):
            raise UserError(f"the repeat unit {smiles!r} is no molecule ({problems[0].Message()})")
        chem.SanitizeMol(unit)
    stars = [atom.GetIdx() for atom in unit.GetAtoms() if atom.GetAtomicNum() == 0]
    expected = "expected one piece with two '*' at single bonds, such as '*CCO*'"
    if len(stars) != 2 or any(unit.GetAtomWithIdx(star).GetDegree() != 1 for star in stars):
        raise UserError(f"the repeat unit {smiles!r} has {len(stars)} ends marked by '*': {expected}")
    bonds = [unit.GetAtomWithIdx(star).GetBonds()[0] for star in stars]
    joined = unit.GetBondBetweenAtoms(*stars) is not None
    pieces = len(chem.GetMolFrags(unit))
    if joined or pieces > 1 or any(bond.GetBondType() != chem.BondType.SINGLE for bond in bonds):
        raise UserError(f"the repeat unit {smiles!r} cannot be joined to a chain: {expected}")
    for atom in unit.GetAtoms():
        if atom.GetFormalCharge() or atom.GetNumRadicalElectrons():
            raise UserError(
                f"the repeat unit {smiles!r} has a charge or a radical at {atom.GetSymbol()} (atom {atom.GetIdx() + 1}): neutral "
                "chains only"
            )
    return unit, stars


def _kind_of_end(smiles: str, atom: Any) -> str:
    if atom.GetSymbol() == "O":
        return "oxygen"
    if atom.GetSymbol() != "C":
        raise UserError(f"the repeat unit {smiles!r} ends in {atom.GetSymbol()}: expected C or O beside each '*'")
    double = [bond.GetOtherAtom(atom).GetSymbol() for bond in atom.GetBonds() if bond.GetBondTypeAsDouble() == 2]
    return "carbonyl" if "O" in double else "carbon"


def _with_hydrogens(source: str, graph: Any, residue_name: str) -> Molecule:
    """Add hydrogens, and put the atoms in order."""
    chem = rdkit_chem()
    graph = chem.AddHs(graph)
    for atom in graph.GetAtoms():
        if atom.GetSymbol() == "H":
            atom.SetIntProp("residue", atom.GetNeighbors()[0].GetIntProp("residue"))
    n_heavy = sum(atom.GetSymbol() != "H" for atom in graph.GetAtoms())

    def place(index: int) -> tuple[int, int, int]:
        atom = graph.GetAtomWithIdx(index)
        owner = index if index < n_heavy else atom.GetNeighbors()[0].GetIdx()
        return atom.GetIntProp("residue"), owner, index

    order = sorted(range(graph.GetNumAtoms()), key=place)
    graph = chem.RenumberAtoms(graph, order)
    residue_of = tuple(atom.GetIntProp("residue") for atom in graph.GetAtoms())
    heads, tails = (
        tuple(atom.GetIdx() for atom in graph.GetAtoms() if atom.HasProp(role)) or (0,) for role in ("head", "tail")
    )
    return Molecule(source, graph, residue_name, residue_of, heads, tails)
