"""A DCD file for each of several systems in one Context, with the box of the system."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from cgplugin.errors import UserError
from cgplugin.systems.periodic import wrap_molecules
from openmm_integration.cg_system import CoarseSystem, bead_topology

from .dcd_appending import DcdHeader, cut_frames, erase_date


class PartReporter:
    """Writes one part of a `CoarseSystem` to a DCD file.

    As ``app.DCDReporter`` with an ``atomSubset``, but

    - the unit cell is the part's own, whether or not the Context has it;
    - the header says the step of the first frame, wherever the simulation began, so that readers that take times from it
      (MDAnalysis) have those of the simulation; mdtraj takes none;
    - with ``append`` the file goes on without gap or double: frames behind the step at which the simulation goes on, which an
      interrupted run wrote after its last checkpoint, are cut off, also where an earlier state is loaded in mid-run;
    - there is no date in it: the same run gives the same bytes.

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

    Raises
    ------
    UserError
        If there is nothing to append to. At the first report: if the file is of another system, has frames at other intervals, or
        ends too early.
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
        self._path, self._interval = Path(file), reportInterval
        self._beads = slice(*cg.offsets[part : part + 2].tolist())
        self._molecules = cg.parts[part].molecules
        box = cg.box_of(part)
        self._wrapping_box = box if wrap else None
        self._topology = bead_topology([cg.parts[part]], box)
        self._append = append
        if append:
            DcdHeader.read(self._path)
        self._out = self._path.open("r+b" if append else "w+b")
        self._dcd: app.DCDFile | None = None
        self._last_step = 0

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:  # noqa: N802 (OpenMM calls it)
        """Steps to the next frame, and what it needs."""
        steps = self._interval - simulation.currentStep % self._interval
        return {"steps": steps, "periodic": False, "include": ["positions"]}

    def report(self, simulation: app.Simulation, state: openmm.State) -> None:
        """Write a frame; if the simulation went back in time, in place of those that it wrote before."""
        step = simulation.currentStep
        if self._dcd is None or step <= self._last_step:
            self._dcd = self._open_at(step, simulation.integrator.getStepSize().value_in_unit(unit.picosecond))
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)[self._beads]
        if self._wrapping_box is not None:
            positions = wrap_molecules(positions, self._molecules, self._wrapping_box)
        self._dcd.writeModel(positions)
        self._last_step = step

    def close(self) -> None:
        """Close the file."""
        self._out.close()

    def _open_at(self, step: int, time_step: float) -> app.DCDFile:
        """Make the file end where the frame of a step follows, or begin it."""
        header = DcdHeader.read(self._path) if self._append or self._dcd is not None else None
        n_kept = 0
        if header is not None:
            self._check(header, time_step)
            # a file of more than 2^31 steps has longer and fewer of them in its header
            first_step = header.first_step * self._interval // header.interval
            n_kept = (step - first_step) // self._interval
        if header is None or n_kept <= 0:
            self._out.truncate(0)
            self._out.seek(0)
            made = app.DCDFile(self._out, self._topology, time_step, step, self._interval)
            self._out.flush()
            erase_date(self._path)
            return made
        cut_frames(self._path, header, n_kept)
        return app.DCDFile(self._out, self._topology, time_step, first_step, self._interval, append=True)

    def _check(self, header: DcdHeader, time_step: float) -> None:
        if header.n_atoms != self._topology.getNumAtoms():
            raise UserError(
                f"{self._path}: has {header.n_atoms} beads, the part that is to be appended {self._topology.getNumAtoms()}"
            )
        between, wanted = header.interval * header.time_step, self._interval * time_step
        if not np.isclose(between, wanted, rtol=1e-6):
            raise UserError(
                f"{self._path}: has frames every {between:g} ps, those to be appended come every {wanted:g} ps: give the report "
                "interval that it was written with"
            )
