"""A model file whose dynamics are known exactly: free diffusion, with or without memory and correlation."""

import math
from pathlib import Path

import torch
from torch import nn

from cgplugin.learned.learned_model import LearnedModel, ModelDescription
from cgplugin.networks.combined import LearnedNetworks
from cgplugin.networks.dynamics import Scales
from cgplugin.networks.options import NetworkOptions


def diffusing_model(
    path: Path,
    *,
    scale: float,
    mixing: float = 0.0,
    persistence: float = 0.0,
    time_step: float = 5.0,
    n_history: int = 1,
    force_field: dict | None = None,
    stochastic: bool = True,
) -> LearnedModel:
    """Write and load a model of atoms of type A, bonds of type b and a bead per atom.

    A displacement is d' = persistence d + noise, with noise_i = scale (xi_i + sum_j mixing xi_j) over the beads j bonded to bead
    i, and nothing else: the networks' last layers have no weights.
    """
    options = NetworkOptions(hidden=4, layers=1, embedding_hidden=4, embedding_layers=1, stochastic=stochastic)
    scales = Scales(
        length=1.0, displacement=scale, residual=scale, mass=1.0, internal_rg2=1.0, prior_spring=0.0,
        prior_damping=1 - persistence,
    )  # fmt: skip
    networks = LearnedNetworks(
        n_atom_types=1,
        n_bond_types=1,
        n_history=n_history,
        cutoff=1.0,
        mean_atom_mass=1.0,
        options=options,
        scales=scales,
    )
    for head in (networks.dynamics.node_decoder, networks.dynamics.edge_decoder):
        last = head[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.zero_()
            last.bias.zero_()
    with torch.no_grad():
        networks.dynamics.edge_decoder[-1].bias[1] = math.atanh(2 * mixing)
    description = ModelDescription(
        units="lj",
        time_step=time_step,
        n_history=n_history,
        cutoff=1.0,
        atoms_per_bead=1,
        partition_seed=0,
        atom_types=("A",),
        bond_types=("b",),
        lammps_atom_types={},
        longest_bond=10.0,
        periodic=False,
        networks=vars(options),
        scales=scales._asdict(),
        force_field=force_field,
    )
    return LearnedModel.load(LearnedModel.export(networks, description, path))
