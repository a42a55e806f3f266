"""Atom types from chemistry: one table of SMARTS patterns.

No atom matches the patterns of two types, so that their order does not matter. An atom that matches none is not covered.
"""

from functools import cache
from typing import Any

from cgplugin.errors import UserError

from .chemistry import Molecule, rdkit_chem

COVERED = "saturated carbon chains with ethers, acetals, esters and single alcohols, and LiTFSI"
"""What the table covers, for messages."""

# sp3 carbons by what they are bonded to beside C and H; strained rings have parameters of their own
_SP3 = "CX4;!r3;!r4"
_ONE_O = f"{_SP3};$(C[#8]);!$(C([!#6;!#1])[!#6;!#1])"
_ALKANE = f"{_SP3};!$(C[!#6;!#1])"
_ALCOHOL = f"{_ONE_O};$(C[OX2H1])"
_ETHER = f"{_ONE_O};$(C[OX2H0][CX4])"
_ACETAL = f"{_SP3};$(C([OX2H0][CX4])[OX2H0][CX4]);!$(C([!#6;!#1])([!#6;!#1])[!#6;!#1])"
_ESTER = f"{_ONE_O};$(C[OX2H0][CX3](=O)[CX4])"
_NEXT_TO_ESTER = "$(C[CX3](=O)[OX2H0])"
_TRIFLYL = "C(F)(F)F"

PATTERNS: tuple[tuple[str, str], ...] = (
    # alkanes
    ("opls_135", f"[{_ALKANE};H3]"),
    ("opls_136", f"[{_ALKANE};H2]"),
    ("opls_137", f"[{_ALKANE};H1]"),
    ("opls_139", f"[{_ALKANE};H0]"),
    ("opls_140", f"[#1][{_ALKANE};!{_NEXT_TO_ESTER}]"),
    ("opls_282", f"[#1][{_ALKANE};{_NEXT_TO_ESTER}]"),
    # alcohols
    ("opls_154", "[OX2H1][CX4]"),
    ("opls_155", "[#1][OX2][CX4]"),
    ("opls_157", f"[{_ALCOHOL};H2]"),
    ("opls_158", f"[{_ALCOHOL};H1]"),
    ("opls_159", f"[{_ALCOHOL};H0]"),
    ("opls_140", f"[#1][{_ALCOHOL}]"),
    # ethers
    ("opls_180", "[OX2H0;!$(O[CX4][#8])]([CX4])[CX4]"),
    ("opls_181", f"[{_ETHER};H3]"),
    ("opls_182", f"[{_ETHER};H2]"),
    ("opls_183", f"[{_ETHER};H1]"),
    ("opls_184", f"[{_ETHER};H0]"),
    ("opls_185", f"[#1][{_ETHER}]"),
    # acetals
    ("opls_186", "[OX2H0;$(O[CX4][OX2H0][CX4])]([CX4])[CX4]"),
    ("opls_189", f"[{_ACETAL};H2]"),
    ("opls_190", f"[#1][{_ACETAL};H2]"),
    ("opls_193", f"[{_ACETAL};H1]"),
    ("opls_194", f"[#1][{_ACETAL};H1]"),
    # esters
    ("opls_465", "[CX3](=O)([OX2H0][CX4])[CX4]"),
    ("opls_466", "[OX1]=[CX3]([OX2H0][CX4])[CX4]"),
    ("opls_467", "[OX2H0]([CX4])[CX3](=O)[CX4]"),
    ("opls_468", f"[{_ESTER};H3]"),
    ("opls_490", f"[{_ESTER};H2]"),
    ("opls_491", f"[{_ESTER};H1]"),
    ("opls_492", f"[{_ESTER};H0]"),
    ("opls_469", f"[#1][{_ESTER}]"),
    # bis(trifluoromethylsulfonyl)imide, lithium
    ("clp_F1", "FC(F)(F)S(=O)(=O)[N-]"),
    ("clp_CBT", "C(F)(F)(F)S(=O)(=O)[N-]"),
    ("clp_SBT", f"S({_TRIFLYL})(=O)(=O)[N-]"),
    ("clp_OBT", f"O=S({_TRIFLYL})(=O)[N-]"),
    ("clp_NBT", f"[N-](S(=O)(=O){_TRIFLYL})S(=O)(=O){_TRIFLYL}"),
    ("clp_Li", "[Li+;X0]"),
)
"""Type, and the SMARTS whose first atom is of that type. What the types are is said in ``opls_aa.xml`` and ``clp_litfsi.xml``."""


def assign_types(molecule: Molecule) -> tuple[str, ...]:
    """Type of each atom of a molecule.

    Raises
    ------
    UserError
        If an atom is not covered: the message names it and what it is bonded to.
    """
    types: list[str | None] = [None] * molecule.n_atoms
    for name, pattern in _compiled():
        # a long chain has more than RDKit's default of 1,000 matches
        matches = molecule.graph.GetSubstructMatches(pattern, uniquify=False, maxMatches=100 * molecule.n_atoms)
        for match in matches:
            assert types[match[0]] in (None, name), f"atom {match[0]} is {types[match[0]]} and {name}"
            types[match[0]] = name
    found = tuple(name for name in types if name is not None)
    if len(found) < molecule.n_atoms:
        # an odd carbon or hydrogen is often so because of a neighbour, which tells more
        missing = [atom for atom, name in enumerate(types) if name is None]
        atom = min(missing, key=lambda index: "CH".find(molecule.elements[index]))
        raise UserError(
            f"{molecule.source!r}: the force field has no type for {molecule.describe_atom(atom)} (in unit "
            f"{molecule.residue_of[atom] + 1} of the chain); it covers {COVERED}"
        )
    return found


@cache
def _compiled() -> tuple[tuple[str, Any], ...]:
    chem = rdkit_chem()
    return tuple((name, chem.MolFromSmarts(pattern)) for name, pattern in PATTERNS)
