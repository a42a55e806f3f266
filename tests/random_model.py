"""A model file with random weights: what prediction costs, and what it must not depend on, needs no training."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cgplugin.learned.learned_model import LearnedModel, ModelDescription
from cgplugin.learned.refinement import noise_levels
from cgplugin.networks.combined import LearnedNetworks
from cgplugin.networks.dynamics import Scales
from cgplugin.networks.options import NetworkOptions
from cgplugin.systems.molecular_system import MolecularSystem

SCALES = Scales(
    length=2.0, displacement=0.7, residual=0.6, mass=5.0, internal_rg2=0.5, prior_spring=0.3, prior_damping=0.8
)
"""About those of the reference electrolytes, with five atoms per bead."""


def random_model(
    path: Path,
    systems: Sequence[MolecularSystem],
    *,
    cutoff: float = 3.0,
    ion_cutoff: float | None = None,
    score_ion_cutoff: float | None = None,
    atoms_per_bead: int = 5,
    periodic: bool = True,
    options: NetworkOptions = NetworkOptions(score=True, score_layers=1),
    refinement_levels: int = 1,
    seed: int = 0,
) -> Path:
    """Write a model that knows the types of some systems, and whose corrections are as large as a trained model's.

    Its steps are damped, so that a simulation stays where it is physical for some thousand steps.
    """
    atom_types = tuple(sorted({name for system in systems for name in system.atom_types}))
    bond_types = tuple(sorted({name for system in systems for name in system.bond_types}))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = LearnedNetworks(
            n_atom_types=len(atom_types),
            n_bond_types=max(1, len(bond_types)),
            n_history=2,
            cutoff=cutoff,
            ion_cutoff=ion_cutoff,
            score_ion_cutoff=score_ion_cutoff,
            mean_atom_mass=1.0,
            options=options,
            scales=SCALES,
        )
        # the heads start at a hundredth of what random weights would give
        for network in filter(None, (networks.dynamics, networks.score)):
            for head in ("node_decoder", "edge_decoder"):
                last = getattr(network, head)[-1]
                assert isinstance(last, nn.Linear)
                with torch.no_grad():
                    last.weight.mul_(50.0)
    description = ModelDescription(
        units=systems[0].units,
        time_step=4.0,
        n_history=2,
        cutoff=cutoff,
        ion_cutoff=ion_cutoff,
        score_ion_cutoff=score_ion_cutoff,
        atoms_per_bead=atoms_per_bead,
        partition_seed=0,
        atom_types=atom_types,
        bond_types=bond_types,
        lammps_atom_types={},
        longest_bond=6.0,
        periodic=periodic,
        networks=vars(options),
        scales=SCALES._asdict(),
        noise_levels=noise_levels(options, SCALES.residual),
        refinement={"levels": refinement_levels if options.score else 0},
        force_field=systems[0].force_field,
    )
    return LearnedModel.export(networks, description, path)
