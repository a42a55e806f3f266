"""A DCD file for each of several systems in one Context, with the box of the system."""

import os
from pathlib import Path
from typing import Any

import openmm
from openmm import app, unit

from cgplugin.systems.periodic import wrap_molecules

from .cg_system import CoarseSystem, bead_topology


class PartReporter:
    """Writes one part of a `CoarseSystem` to a DCD file.

    As ``app.DCDReporter`` with an ``atomSubset``, but the unit cell is the part's own, whether or not the Context has it.

    Parameters
    ----------
    file : path
    reportInterval : int
        Steps between frames.
    cg : CoarseSystem
    part : int
        Which part.
    wrap : bool
        Put the centre of every molecule into the box; otherwise positions are written unwrapped. Without a box there is
        nothing to do.
    append : bool
        Go on with an existing file.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        reportInterval: int,  # noqa: N803 (as OpenMM's reporters have it)
        cg: CoarseSystem,
        part: int,
        *,
        wrap: bool = False,
        append: bool = False,
    ) -> None:
        self._interval, self._append = reportInterval, append
        self._beads = slice(*cg.offsets[part : part + 2].tolist())
        self._molecules = cg.parts[part].molecules
        box = cg.box_of(part)
        self._wrapping_box = box if wrap else None
        self._topology = bead_topology([cg.parts[part]], box)
        self._out = Path(file).open("r+b" if append else "wb")  # noqa: SIM115 (open as long as the simulation)
        self._dcd: app.DCDFile | None = None

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:  # noqa: N802 (OpenMM calls it)
        """Steps to the next frame, and what it needs."""
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": False, "include": ["positions"]}

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        """Write a frame."""
        if self._dcd is None:
            step_size = simulation.integrator.getStepSize()
            self._dcd = app.DCDFile(
                self._out, self._topology, step_size, self._interval, self._interval, append=self._append
            )
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)[self._beads]
        if self._wrapping_box is not None:
            positions = wrap_molecules(positions, self._molecules, self._wrapping_box)
        self._dcd.writeModel(positions)

    def close(self) -> None:
        """Close the file."""
        self._out.close()
