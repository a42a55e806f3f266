"""Properties of a learned simulation, step by step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.learned.simulator import Observation


class Rg2Recorder:
    """Squared radius of gyration of the fine molecules after every learned step, for all systems at once.

    By the parallel-axis theorem, M Rg^2 = sum_beads m (d^2 + r^2), with d the distance of a bead from the centre of mass and r^2
    the beads' internal Rg^2, which the model predicts. Of a system of several molecules it is the mean over those of more
    than one bead, or over all if there is none. Use an instance as an observer of a `LearnedIntegrator`.

    Parameters
    ----------
    systems : sequence of CoarseGraining
    """

    def __init__(self, systems: Sequence[CoarseGraining]) -> None:
        molecules, masses, owners, weights = [], [], [], []
        n_molecules = 0
        for number, cg in enumerate(systems):
            own = torch.tensor(cg.molecules)
            sizes = torch.bincount(own)
            counted = (sizes > 1) if bool((sizes > 1).any()) else torch.ones_like(sizes, dtype=torch.bool)
            molecules.append(own + n_molecules)
            masses.append(torch.tensor(cg.masses))
            owners.append(torch.full((len(sizes),), number))
            weights.append(counted / counted.sum())
            n_molecules += len(sizes)
        self._molecule = torch.cat(molecules)
        self._owner = torch.cat(owners)
        self._weight = torch.cat(weights).to(torch.float64)
        self._n = (n_molecules, len(systems))
        mass = torch.cat(masses)
        total = torch.zeros(n_molecules, dtype=torch.float64).index_add(0, self._molecule, mass)
        self._share = mass / total[self._molecule]
        self._steps: list[int] = []
        self._values: list[Tensor] = []

    def __call__(self, observation: Observation) -> None:
        """Record the step."""
        with torch.inference_mode():
            positions = observation.state.positions
            share = self._share.unsqueeze(1)
            centre = torch.zeros(self._n[0], 3, dtype=torch.float64).index_add(0, self._molecule, share * positions)
            squared = (positions - centre[self._molecule]).square().sum(dim=1) + observation.internal_rg2
            of_molecules = torch.zeros(self._n[0], dtype=torch.float64).index_add(
                0, self._molecule, self._share * squared
            )
            of_systems = torch.zeros(self._n[1], dtype=torch.float64)
            self._values.append(of_systems.index_add(0, self._owner, self._weight * of_molecules))
        self._steps.append(observation.state.step)

    def take(self) -> tuple[list[int], Tensor]:
        """Steps and values (n_steps, n_systems) in nm^2 since the last call."""
        steps = self._steps
        values = torch.stack(self._values) if self._values else torch.empty(0, self._n[1], dtype=torch.float64)
        self._steps, self._values = [], []
        return steps, values
