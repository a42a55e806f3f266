"""Drift of the centre of mass, as OpenMM's CMMotionRemover takes it out."""

from dataclasses import replace

import numpy as np
import torch

from cgplugin.learned.simulator import LearnedState, Observation

from .cg_system import CoarseSystem


class DriftRemover:
    """Takes the displacement of the centre of mass out of learned steps, for each part on its own.

    Parameters
    ----------
    cg : CoarseSystem
    """

    def __init__(self, cg: CoarseSystem) -> None:
        sizes = [part.n_beads for part in cg.parts]
        self._n_parts = len(sizes)
        self._owner = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes))
        fractions = np.concatenate([part.masses / part.masses.sum() for part in cg.parts])
        self._fractions = torch.from_numpy(fractions).unsqueeze(1)

    def without_drift(self, before: LearnedState, after: Observation) -> Observation:
        """The step from ``before`` to ``after``, with the centres of mass where they were."""
        state = after.state
        latest = state.displacements[:, 0]
        owner, fractions = self._owner.to(latest.device), self._fractions.to(latest.device)
        drifts = latest.new_zeros(self._n_parts, 3).index_add(0, owner, fractions * latest)
        latest = latest - drifts[owner]
        displacements = torch.cat([latest.unsqueeze(1), state.displacements[:, 1:]], dim=1)
        return replace(
            after, state=LearnedState(before.positions.to(latest.device) + latest, displacements, state.step)
        )
