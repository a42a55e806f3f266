"""What is generated against long LAMMPS simulations of the same polymer: sizes and energies in equilibrium."""

import json
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest

from cgplugin.observables.statistics import standard_error
from cgplugin.systems.force_field import built_in
from cgplugin.systems.molecular_system import MolecularSystem
from cgplugin.systems.structure_files import load_structure, open_trajectory
from openmm_integration.ground_truth.bead_spring import create_system, energy_terms
from openmm_integration.ground_truth.generate import GenerateSpec, generate
from tests.conftest import POLYMER

# of the polymers with a long reference, the one that relaxes fastest: 56 tau for Rg^2
REFERENCE = POLYMER / "devtest" / "006"
N_CHAINS = 24


def energies(system: MolecularSystem, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Energy terms of every frame."""
    context = openmm.Context(
        create_system(built_in(), [system]),
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("Reference"),
    )
    terms = []
    for frame in frames:
        context.setPositions(frame)
        terms.append(energy_terms(context))
    return {name: np.array([term[name] for term in terms]) for name in terms[0]}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Independent chains of one sequence, each from a random walk of its own."""
    sequence = json.loads((REFERENCE / "meta.json").read_text())["sequence"]
    spec = GenerateSpec(
        sequences=[sequence] * N_CHAINS,
        length=160,
        recording_interval=4,
        relaxation=240,
        seed=11,
        chains_per_context=12,
    )
    return generate(spec, tmp_path_factory.mktemp("generated"))


def loaded(folder: Path) -> np.ndarray:
    return mdtraj.load(folder / "trajectory.dcd", top=folder / "topology.pdb").xyz.astype(np.float64)


def test_size_of_the_chains(generated: list[Path]) -> None:
    """The means of the chains are independent of each other, and so give the error of their mean."""
    means = np.array([((x - x.mean(axis=1, keepdims=True)) ** 2).sum(axis=2).mean() for x in map(loaded, generated)])
    error = means.std(ddof=1) / np.sqrt(N_CHAINS)
    reference = np.load(REFERENCE / "rg2.npy").astype(np.float64)
    assert error < 0.1 * reference.mean()
    assert abs(means.mean() - reference.mean()) < 3.5 * np.hypot(error, standard_error(reference))


def test_energies_term_by_term(generated: list[Path]) -> None:
    structure = load_structure(REFERENCE)
    long = open_trajectory(REFERENCE / "long.lammpstrj.bz2", structure)
    expected = energies(structure.system, np.concatenate([block.positions for block in long.blocks()]))
    ours: dict[str, list[float]] = {"bond": [], "angle": [], "pair": []}
    for folder in generated:
        for name, values in energies(MolecularSystem.load(folder / "system.json"), loaded(folder)[::2]).items():
            ours[name].append(values.mean())
    for name, means in ours.items():
        error = np.hypot(np.std(means, ddof=1) / np.sqrt(N_CHAINS), standard_error(expected[name]))
        assert abs(np.mean(means) - expected[name].mean()) < 3.5 * error, name
        assert error < 0.06 * abs(expected[name].mean()), name


def test_bonds_have_the_energy_of_a_stiff_spring(generated: list[Path]) -> None:
    """Boltzmann average of K (r - r0)^2 over r^2 dr: kT/2 per bond, and a little more for the volume element."""
    system = MolecularSystem.load(generated[0] / "system.json")
    means = [energies(system, loaded(folder)[::4])["bond"].mean() for folder in generated]
    r = np.linspace(0.3, 1.7, 20_001)
    spring = built_in().bond_k * (r - built_in().bond_r0) ** 2
    weight = r**2 * np.exp(-spring)
    # neighbouring bonds and pair forces stretch it by a per cent or two
    assert np.mean(means) / len(system.bonds) == pytest.approx((weight * spring).sum() / weight.sum(), rel=0.05)
