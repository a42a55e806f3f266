"""Bead systems as OpenMM knows them: a Topology and a System."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from cgplugin.coarse_graining.coarsening import CoarseGraining
from cgplugin.errors import UserError
from cgplugin.systems.periodic import check_box

CG_BONDS = "CG bonds"
"""Name of the Force that tells OpenMM of the CG bonds; all others in the System act on the beads."""


@dataclass(frozen=True)
class CoarseSystem:
    """The beads of one system, or of several that are simulated together, as OpenMM objects.

    ``app.Simulation(cg.topology, cg.system, LearnedIntegrator(model, cg))`` is a learned simulation. The System has masses, box
    and CG bonds *without* energy (they tell OpenMM which beads are a molecule, so that reporters wrap molecules whole);
    what moves the beads is the integrator. Forces added to ``cg.system`` before the Simulation is made act on the beads too; see
    `LearnedIntegrator`.

    Attributes
    ----------
    parts : tuple of CoarseGraining
        The systems, in the order of their beads. Replicas share one `CoarseGraining`.
    box_vectors : array, shape (n_parts, 3, 3), or None
        nm, a box for each part; given as (3, 3) it is that of all parts. Systems in one Context need not have the same box:
        nothing of OpenMM's moves the beads. If they do, it is the Context's box as well; if they do not, the Context has none,
        and reporters that ask it for a box write none: `PartReporter` writes each part's own.
    start_frames : array, shape (n_history + 1, n_beads, 3), or None
        Bead positions one learned time step apart, the latest last, nm, unwrapped: where a simulation starts.

    Raises
    ------
    UserError
        If a box is not one, or shapes do not fit.
    """

    parts: tuple[CoarseGraining, ...]
    box_vectors: NDArray[np.float64] | None = field(default=None, repr=False)
    start_frames: NDArray[np.float64] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.box_vectors is not None:
            boxes = np.array(self.box_vectors, dtype=np.float64)
            if boxes.ndim == 2:
                boxes = np.broadcast_to(boxes, (len(self.parts), *boxes.shape)).copy()
            if boxes.shape != (len(self.parts), 3, 3):
                raise UserError(
                    f"box vectors of shape {boxes.shape} for {len(self.parts)} systems, expected (3, 3) each"
                )
            for cg, box in zip(self.parts, boxes, strict=True):
                check_box(box, cg.system.name)
            object.__setattr__(self, "box_vectors", boxes)
        if self.start_frames is not None and self.start_frames.shape[1:] != (self.n_beads, 3):
            raise UserError(
                f"the start frames have shape {self.start_frames.shape}, expected (n_history + 1, {self.n_beads}, 3)"
            )

    @property
    def n_beads(self) -> int:
        """Number of beads of all parts."""
        return sum(cg.n_beads for cg in self.parts)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """First bead of each part, and the number of beads at the end, shape (n_parts + 1,)."""
        return np.cumsum([0, *(cg.n_beads for cg in self.parts)])

    @property
    def common_box(self) -> NDArray[np.float64] | None:
        """Box of all parts, shape (3, 3); None if there is none, or they differ."""
        boxes = self.box_vectors
        return boxes[0] if boxes is not None and (boxes == boxes[0]).all() else None

    def box_of(self, part: int) -> NDArray[np.float64] | None:
        """Box of one part, shape (3, 3), or None."""
        return None if self.box_vectors is None else self.box_vectors[part]

    def beads_of(self, part: int) -> range:
        """Beads of one part, for a reporter's ``atomSubset``."""
        return range(int(self.offsets[part]), int(self.offsets[part + 1]))

    @cached_property
    def topology(self) -> app.Topology:
        """A chain per molecule, a residue per bead, the CG bonds."""
        return bead_topology(self.parts, self.common_box)

    @cached_property
    def system(self) -> openmm.System:
        """Masses, box and bonds of zero strength."""
        system = openmm.System()
        bonds = openmm.HarmonicBondForce()
        bonds.setName(CG_BONDS)
        for offset, cg in zip(self.offsets[:-1].tolist(), self.parts, strict=True):
            for mass in cg.masses.tolist():
                system.addParticle(mass)
            for i, j in (cg.bonds + offset).tolist():
                bonds.addBond(i, j, 0.0, 0.0)
        if self.common_box is not None:
            system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*row) for row in self.common_box.tolist()))
            bonds.setUsesPeriodicBoundaryConditions(True)
        system.addForce(bonds)
        return system

    @property
    def positions(self) -> unit.Quantity:
        """Start positions of the beads, for ``context.setPositions``.

        Raises
        ------
        UserError
            If the system has no start frames.
        """
        if self.start_frames is None:
            raise UserError("this bead system has no start frames: make it with learned_simulation or start_frames")
        return unit.Quantity(self.start_frames[-1], unit.nanometer)


def bead_topology(parts: Sequence[CoarseGraining], box_vectors: NDArray[np.float64] | None = None) -> app.Topology:
    """OpenMM topology of beads: a chain per molecule, a residue per bead, the CG bonds."""
    topology = app.Topology()
    for cg in parts:
        chain, molecule = None, -1
        atoms = []
        # beads of a molecule are contiguous only if its atoms are: OpenMM's chains hold what follows one another
        for bead, owner in enumerate(cg.molecules.tolist()):
            if chain is None or owner != molecule:
                chain, molecule = topology.addChain(), owner
            residue = topology.addResidue("CGB", chain, id=str((bead % 9999) + 1))
            atoms.append(topology.addAtom("CG", None, residue))
        for i, j in cg.bonds.tolist():
            topology.addBond(atoms[i], atoms[j])
    if box_vectors is not None:
        topology.setPeriodicBoxVectors(unit.Quantity([openmm.Vec3(*row) for row in box_vectors], unit.nanometer))
    return topology
