"""Names and roles of species."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgplugin import MolecularSystem, UserError
from cgplugin.coarse_graining.coarsening import coarsen
from cgplugin.systems.lammps_files import LammpsConventions
from cgplugin.systems.species import ParticleSpecies, formula, species_of_molecules
from cgplugin.systems.structure_files import load_structure
from cgplugin.training.data import with_force_field_nearby
from tests.conftest import SHARED


def electrolyte(units: str = "lj", masses: float = 1.0) -> MolecularSystem:
    """A chain of four, an anion of three, and a cation, in an order that is not that of the species."""
    bonds = [(0, 1), (1, 2), (3, 4), (4, 5), (5, 6)]
    types = ("F", "N", "F", "P", "P", "E", "P", "Li")
    charges = np.array([-0.3, -0.4, -0.3, 0.0, 0.1, -0.1, 0.0, 1.0])
    mass = np.full(8, masses)
    return MolecularSystem(types, mass, np.array(bonds), ("b",) * 5, charges=charges, units=units)  # type: ignore[arg-type]


def test_reference_electrolyte() -> None:
    """The composition that the reference data's own description gives."""
    folder = SHARED / "electrolyte" / "val" / "000"
    system = load_structure(folder, with_force_field_nearby(LammpsConventions(), folder)).system
    cg = coarsen(system, 5)
    for particles in (ParticleSpecies.of_atoms(system), ParticleSpecies.of_beads(system, cg.mapping)):
        assert particles.species == ("Li", "F2N1S2", "H16P16")
        assert [particles.role(name) for name in particles.species] == ["cation", "anion", "neutral"]
        assert [particles.n_molecules(name) for name in particles.species] == [20, 20, 8]
    assert particles.n == cg.n_beads
    np.testing.assert_allclose(particles.masses, cg.masses)
    np.testing.assert_array_equal(particles.molecules, cg.molecules)


def test_order_roles_and_charges() -> None:
    particles = ParticleSpecies.of_atoms(electrolyte())
    assert particles.species == ("Li", "F2N1", "E1P3")
    assert particles.molecular_charge("F2N1") == pytest.approx(-1)
    assert particles.with_role("neutral") == ("E1P3",)
    assert set(particles.by_role().names) == {"cation", "anion", "neutral"}
    assert particles.by_role().names[-1] == "cation"


def test_nothing_is_guessed_without_charges() -> None:
    system = electrolyte()
    bare = MolecularSystem(system.atom_types, system.masses, system.bonds, system.bond_types)
    particles = ParticleSpecies.of_atoms(bare)
    assert {particles.role(name) for name in particles.species} == {"unknown"}
    assert particles.molecular_charge("Li") is None


def test_elements_stand_for_types_in_real_units() -> None:
    """Ethanol and a lone ion with the types and masses of OPLS; with a united atom the types remain."""
    masses = {"CT": 12.011, "HC": 1.008, "OH": 15.9994, "HO": 1.008, "Li": 6.941}
    types = ("CT", "CT", "OH", "HO", *("HC",) * 5, "Li")
    bonds = np.array([(0, 1), (1, 2), (2, 3), (0, 4), (0, 5), (0, 6), (1, 7), (1, 8)])

    def named(masses: dict[str, float], units: str) -> tuple[str, ...]:
        mass = np.array([masses[name] for name in types])
        return species_of_molecules(MolecularSystem(types, mass, bonds, ("b",) * 8, units=units))  # type: ignore[arg-type]

    assert named(masses, "openmm") == ("C2H6O1", "Li")
    assert named(masses, "lj") == ("CT2HC5HO1OH1", "Li")
    assert named({**masses, "CT": 14.027}, "openmm") == ("CT2HC5HO1OH1", "Li")


@given(st.lists(st.sampled_from(["C", "H", "N", "O", "Br"]), min_size=1), st.randoms())
def test_formula_does_not_depend_on_the_order(constituents: list[str], random) -> None:
    shuffled = constituents.copy()
    random.shuffle(shuffled)
    assert formula(shuffled) == formula(constituents)
    if "C" in constituents:
        assert formula(constituents).startswith("C")


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(UserError, match="1 molecules for 2 particles"):
        ParticleSpecies(("a", "b"), np.zeros(1, dtype=np.int64), np.ones(2))
