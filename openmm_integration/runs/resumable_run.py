"""Long learned simulations on disk: files per system, a checkpoint, and resuming after a kill."""

import csv
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from openmm import app
from tqdm import tqdm

from cgplugin.analysis.property_series import Rg2Recorder
from cgplugin.errors import UserError, one_line
from cgplugin.files import file_digest, read_json, replacing, write_json
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.units import length_unit, time_unit
from openmm_integration.integrator import LearnedIntegrator
from openmm_integration.reporters.dcd_appending import DcdHeader, cut_frames
from openmm_integration.reporters.part_reporter import PartReporter

from .coarse_files import write_beads

PROGRESS_FILE = "progress.json"
STRETCH_LIMIT = 1.5
"""A CG bond this many times the longest one in the training data says that the model is outside what it knows."""

SUMMARY_FILE = "summary.json"


@dataclass(frozen=True)
class RunSettings:
    """What is simulated and recorded.

    Attributes
    ----------
    n_steps : int
        Learned steps in all.
    report_interval : int
        Learned steps between frames of the trajectory.
    checkpoint_interval : int
        Learned steps between checkpoints; a multiple of the report interval.
    seed : int
    replicas : int
    wrap : bool
        Write molecules wrapped into the box, for pictures.
    """

    n_steps: int
    report_interval: int = 10
    checkpoint_interval: int = 500
    seed: int = 0
    replicas: int = 1
    wrap: bool = False

    def __post_init__(self) -> None:
        for name in ("n_steps", "report_interval", "checkpoint_interval", "replicas"):
            if getattr(self, name) < 1:
                raise UserError(f"{name.replace('_', '-')} is {getattr(self, name)}, expected at least 1")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"seed is {self.seed}, expected an integer from 0 to {2**31 - 1}")
        if self.checkpoint_interval % self.report_interval:
            raise UserError(
                f"the checkpoint interval of {self.checkpoint_interval} steps is no multiple of the report interval of "
                f"{self.report_interval}"
            )


@dataclass
class _Outputs:
    """Files of one replica."""

    folder: Path
    name: str
    replica: int
    longest_bond: float = 0.0
    stretched_steps: int = 0
    rg2: list[float] = field(default_factory=list)

    @property
    def trajectory(self) -> Path:
        return self.folder / "trajectory.dcd"

    @property
    def properties(self) -> Path:
        return self.folder / "properties.csv"

    @property
    def summary(self) -> Path:
        return self.folder / SUMMARY_FILE


def replica_folders(out: Path, names: Sequence[str], replicas: int) -> list[tuple[Path, str, int]]:
    """Folder, name and replica of every part: ``OUT/NAME``, or ``OUT/NAME/replica-N`` if there are several.

    Raises
    ------
    UserError
        If two structures have the same name.
    """
    repeated = {name for name in names if list(names).count(name) > 1}
    if repeated:
        raise UserError(f"several structures are called {min(repeated)!r}: rename their files or folders")
    if replicas == 1:
        return [(out / name, name, 0) for name in names]
    return [(out / name / f"replica-{n}", name, n) for name in names for n in range(replicas)]


class ResumableRun:
    """Drives a learned simulation, writes its files, and goes on after a kill as if nothing had happened.

    Files of a system: ``topology.pdb``, ``mapping.json``, ``trajectory.dcd`` (a frame every ``report_interval`` steps, the first
    after as many), ``properties.csv`` (every step), ``summary.json``. All that is written up to a checkpoint counts; what a
    killed run wrote beyond it is cut off and made again, bit by bit the same.

    Parameters
    ----------
    simulation : app.Simulation
        With a `LearnedIntegrator`, at its start.
    model : LearnedModel
    out : Path
    names : sequence of str
        Of the structures; the simulation's parts are their replicas, in this order.
    settings : RunSettings
    """

    def __init__(
        self,
        simulation: app.Simulation,
        model: LearnedModel,
        out: Path,
        names: Sequence[str],
        settings: RunSettings,
    ) -> None:
        self.simulation, self.model, self.settings = simulation, model, settings
        self.out = out
        integrator = simulation.integrator
        assert isinstance(integrator, LearnedIntegrator)
        self.integrator = integrator
        if settings.wrap and integrator.cg.box_vectors is None:
            raise UserError(f"{names[0]}: has no box to wrap molecules into: leave --wrap out")
        self.outputs = [_Outputs(*place) for place in replica_folders(out, names, settings.replicas)]
        self.recorder = Rg2Recorder(integrator.cg.parts)
        integrator.observers += [self.recorder, self._watch]
        self._seconds = self._core_seconds = 0.0

    def run(
        self, resume: bool = False, progress: bool = False, on_steps: Callable[[int], object] | None = None
    ) -> list[Path]:
        """Simulate to the end and give the folders.

        Parameters
        ----------
        resume : bool
            Go on from a checkpoint, where there is one. Otherwise finished files are never overwritten.
        progress : bool
            Show a progress bar.
        on_steps : callable, optional
            Called with the number of steps just done, those before a resumed checkpoint included.

        Raises
        ------
        UserError
            If there are files of another run, or the disk is full.
        cgplugin.learned.simulator.SimulationDivergedError
            If a position is no longer finite.
        """
        record = self._load_record() if resume else None
        if record is None:
            self._start_files(resume)
        else:
            self._restore(record)
        self._add_reporters()
        done = self.simulation.currentStep
        if on_steps is not None and done:
            on_steps(done)
        with tqdm(total=self.settings.n_steps, initial=done, unit="step", disable=not progress) as bar:
            while done < self.settings.n_steps:
                goal = done - done % self.settings.checkpoint_interval + self.settings.checkpoint_interval
                begin, begin_cpu = time.perf_counter(), time.process_time()
                try:
                    self.simulation.step(min(goal, self.settings.n_steps) - done)
                    self._write_properties()
                except OSError as error:
                    self._abandon_files()
                    raise UserError(f"{self.out}: cannot be written ({one_line(error)}); --resume goes on") from error
                self._seconds += time.perf_counter() - begin
                self._core_seconds += time.process_time() - begin_cpu
                bar.update(self.simulation.currentStep - done)
                if on_steps is not None:
                    on_steps(self.simulation.currentStep - done)
                done = self.simulation.currentStep
                self._checkpoint()
        self._write_summaries()
        return [output.folder for output in self.outputs]

    def _watch(self, observation: Any) -> None:
        longest = self.integrator.simulator.longest_bonds(observation.state)
        limit = STRETCH_LIMIT * self.model.description.longest_bond
        for output, bond in zip(self.outputs, longest.tolist(), strict=True):
            output.longest_bond = max(output.longest_bond, bond)
            output.stretched_steps += bond > limit > 0

    def _identity(self) -> dict[str, Any]:
        """What a resumed run must have in common with the one that it continues."""
        return {
            "model": file_digest(self.model.source),
            "compiled": self.model.compiled,
            "seed": self.settings.seed,
            "report_interval": self.settings.report_interval,
            "replicas": self.settings.replicas,
            "wrap": self.settings.wrap,
            "refinement": asdict(self.integrator.simulator.refinement),
            "systems": [output.name for output in self.outputs],
            "beads": [cg.n_beads for cg in self.integrator.cg.parts],
        }

    def _load_record(self) -> dict[str, Any] | None:
        path = self.out / PROGRESS_FILE
        if not path.exists():
            return None
        record = read_json(path)
        identity = self._identity()
        # there were no compiled networks when the first runs were made
        recorded = {"compiled": False, **record.get("identity", {})}
        changed = [key for key in identity if recorded.get(key) != identity[key]]
        if changed == ["compiled"]:
            made, remedy = ("with", "give it again") if recorded["compiled"] else ("without", "leave it out")
            raise UserError(f"{self.out}: holds a run made {made} --compile: {remedy}, or use another folder")
        if changed:
            raise UserError(f"{self.out}: holds a run that differs in {', '.join(changed)}: use another folder")
        if record["step"] > self.settings.n_steps:
            raise UserError(
                f"{self.out}: holds {record['step']} steps already, more than the {self.settings.n_steps} asked for"
            )
        return record

    def _start_files(self, resume: bool) -> None:
        for output in self.outputs:
            # of a run that was killed before its first checkpoint: there is nothing in them to go on from
            leftover = resume and (output.folder / "mapping.json").exists() and not output.summary.exists()
            for path in (output.trajectory, output.properties):
                if path.exists():
                    if leftover:
                        path.unlink()
                        continue
                    raise UserError(f"{path}: exists already: use --resume to go on, or another folder")
        # a record without its files would stand in the way of the next resume
        (self.out / PROGRESS_FILE).unlink(missing_ok=True)
        cg = self.integrator.cg
        start = self.simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
        for n, output in enumerate(self.outputs):
            part = cg.parts[n]
            write_beads(output.folder, part, start[cg.beads_of(n)], cg.box_of(n), units=self.model.units)
            with output.properties.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerow(["time", "rg2"])

    def _restore(self, record: dict[str, Any]) -> None:
        checkpoint = self.out / record["checkpoint"]
        try:
            self.simulation.loadCheckpoint(str(checkpoint))
        except Exception as error:  # OpenMM raises bare exceptions here
            raise UserError(f"{checkpoint}: cannot be loaded ({one_line(error)})") from error
        n_frames = record["step"] // self.settings.report_interval
        for output, known in zip(self.outputs, record["outputs"], strict=True):
            output.longest_bond, output.stretched_steps = known["longest_bond"], known["stretched_steps"]
            _truncate(output.properties, known["properties_bytes"])
            # the reporter cuts before it appends; a run that has no steps left appends nothing
            if n_frames:
                cut_frames(output.trajectory, DcdHeader.read(output.trajectory), n_frames)
            else:
                output.trajectory.unlink(missing_ok=True)
        self._seconds, self._core_seconds = record["seconds"], record.get("core_seconds", record["seconds"])

    def _add_reporters(self) -> None:
        for n, output in enumerate(self.outputs):
            self.simulation.reporters.append(
                PartReporter(
                    output.trajectory,
                    self.settings.report_interval,
                    self.integrator.cg,
                    n,
                    wrap=self.settings.wrap,
                    append=output.trajectory.exists() and output.trajectory.stat().st_size > 0,
                )
            )

    def _abandon_files(self) -> None:
        """Close files on a full disk: they would be flushed when they are collected, with a traceback."""
        for reporter in self.simulation.reporters:
            with suppress(OSError, AttributeError):
                reporter.close()

    def _write_properties(self) -> None:
        steps, values = self.recorder.take()
        times = [f"{step * self.model.time_step:.10g}" for step in steps]
        for output, column in zip(self.outputs, values.T.tolist(), strict=True):
            with output.properties.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(zip(times, (f"{value:.7g}" for value in column), strict=True))

    def _checkpoint(self) -> None:
        step = self.simulation.currentStep
        name = f"checkpoint-{step}.chk"
        with replacing(self.out / name) as temporary:
            self.simulation.saveCheckpoint(str(temporary))
        write_json(
            self.out / PROGRESS_FILE,
            {
                "step": step,
                "checkpoint": name,
                "seconds": self._seconds,
                "core_seconds": self._core_seconds,
                "identity": self._identity(),
                "outputs": [
                    {
                        "properties_bytes": output.properties.stat().st_size,
                        "longest_bond": output.longest_bond,
                        "stretched_steps": output.stretched_steps,
                    }
                    for output in self.outputs
                ],
            },
        )
        for old in self.out.glob("checkpoint-*.chk"):
            if old.name != name:
                old.unlink()

    def _write_summaries(self) -> None:
        units = self.model.units
        n_steps = self.simulation.currentStep
        for n, output in enumerate(self.outputs):
            rg2 = np.loadtxt(output.properties, delimiter=",", skiprows=1, ndmin=2)[:, 1]
            write_json(
                output.summary,
                {
                    "name": output.name,
                    "replica": output.replica,
                    "model": self.model.source,
                    "units": units,
                    "length_unit": length_unit(units),
                    "time_unit": time_unit(units),
                    "time_step": self.model.time_step,
                    "report_interval": self.settings.report_interval,
                    "n_steps": n_steps,
                    "time": n_steps * self.model.time_step,
                    "seed": self.settings.seed,
                    "n_atoms": self.integrator.cg.parts[n].system.n_atoms,
                    "n_beads": self.integrator.cg.parts[n].n_beads,
                    "rg2_mean": float(rg2.mean()),
                    "longest_bond": output.longest_bond,
                    "longest_bond_in_training": self.model.description.longest_bond,
                    "stretched_steps": output.stretched_steps,
                    "seconds_per_step": self._seconds / n_steps,
                    "core_seconds_per_step": self._core_seconds / n_steps,
                    "systems_in_batch": len(self.outputs),
                },
            )

    @property
    def stretched(self) -> list[str]:
        """One line for every system that left what the model knows."""
        return [
            f"{output.folder}: in {output.stretched_steps} of {self.simulation.currentStep} steps a CG bond was longer than "
            f"{STRETCH_LIMIT} times any in the training data (up to {output.longest_bond:.3g} {length_unit(self.model.units)})"
            for output in self.outputs
            if output.stretched_steps
        ]

    @property
    def core_seconds(self) -> float:
        """Processor time of the learned steps so far, all systems and threads together."""
        return self._core_seconds

    @property
    def seconds_per_step(self) -> float:
        """Wall time of a learned step, all systems together."""
        return self._seconds / max(self.simulation.currentStep, 1)


def _truncate(path: Path, size: int) -> None:
    if not path.is_file() or path.stat().st_size < size:
        raise UserError(
            f"{path}: is shorter than at the last checkpoint: the run cannot go on; start it in another folder"
        )
    os.truncate(path, size)
