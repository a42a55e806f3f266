"""Ablations: variants of the model, trained alike and measured by long rollouts against reference MD.

    python -m benchmarks.polymers.ablations --data DIR... --validation DIR --reference DIR... --out OUT

DATA and VALIDATION are what ``cgplugin train`` takes, recorded every 1 tau so that every time step is possible; REFERENCE what
``cgplugin evaluate`` takes: long MD of validation polymers. A low one-step loss says little about long runs, so that each
variant is judged by its rollouts. ``OUT/ablations.md`` grows by a row per variant; a variant that is finished is skipped when the
command is started again, one that was interrupted goes on, and one that failed is tried again.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from cgplugin.errors import UserError, one_line
from cgplugin.evaluation.chain_report import COLUMNS
from cgplugin.evaluation.chains import Method, evaluate
from cgplugin.evaluation.reference_data import ReferenceSystem, load_chains
from cgplugin.evaluation.row_names import LEARNED
from cgplugin.files import read_json, write_json, write_text
from cgplugin.learned.learned_model import LearnedModel
from cgplugin.networks.options import NetworkOptions
from cgplugin.tables import markdown_text, without_nan
from cgplugin.training.data import find_data, lammps_atom_types, load_data
from cgplugin.training.options import TrainingOptions
from cgplugin.training.trainer import train
from cgplugin.units import parse_time
from openmm_integration.runs.reference_runs import simulate_references
from openmm_integration.runs.resumable_run import STRETCH_LIMIT, RunSettings

BASELINE = "baseline"
SHOWN = ("rg2_r2", "rg2_mae", "rg2_emd", "rg2_correlation", "relaxation_deviation", "relaxation_correlation")
"""Numbers of an evaluation in the table; all of them are in the variants' ``result.json``."""


@dataclass(frozen=True)
class Variant:
    """One change against the default model.

    Attributes
    ----------
    text : str
        What is changed.
    training, network : dict
        Options that differ from `TrainingOptions` and `NetworkOptions`.
    """

    text: str
    training: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)


VARIANTS = {
    BASELINE: Variant("the default model"),
    "seed-1": Variant("seed 1", {"seed": 1}),
    "seed-2": Variant("seed 2", {"seed": 2}),
    "no-embedding": Variant("no Embedding GNN: mean of the atoms' type embeddings", network={"embedding_layers": 0}),
    "deterministic": Variant("the mean alone, no noise", network={"stochastic": False}),
    "beads-5": Variant("5 atoms per bead", {"atoms_per_bead": 5}),
    "beads-20": Variant("20 atoms per bead", {"atoms_per_bead": 20}),
    "history-1": Variant("1 past velocity", {"n_history": 1}),
    "history-4": Variant("4 past velocities", {"n_history": 4}),
    "step-2": Variant("time step 2 tau", {"time_step": 2.0}),
    "step-10": Variant("time step 10 tau", {"time_step": 10.0}),
    "step-20": Variant("time step 20 tau", {"time_step": 20.0}),
    "cutoff-6": Variant("cutoff 6 sigma", {"cutoff": 6.0}),
    "cutoff-12": Variant("cutoff 12 sigma", {"cutoff": 12.0}),
    "plain": Variant("plain network, inputs rotated", network={"symmetry": "none"}),
    "plain-unrotated": Variant("plain network, inputs not rotated", {"rotate": False}, {"symmetry": "none"}),
    "diagonal-noise": Variant("noise independent from bead to bead", network={"noise": "diagonal"}),
    "no-prior": Variant("no spring prior", network={"prior": "none"}),
    "no-time-reversal": Variant("no time-reversed copies", {"time_reversal": False}),
    "history-noise": Variant("random-walk noise on the history, 0.3 of a step", {"history_noise": 0.3}),
    "score": Variant("with Score GNN and refinement", network={"score": True}),
    "paper-choices": Variant(
        "plain network, diagonal noise, no prior, no time reversal",
        {"time_reversal": False},
        {"symmetry": "none", "noise": "diagonal", "prior": "none"},
    ),
}
"""Ablations of the paper, and of what is done differently here."""


@dataclass(frozen=True)
class Plan:
    """What is the same for all variants.

    Attributes
    ----------
    data, validation, reference : sequence of str
        Folders.
    training, network : dict
        Options against which the variants are changes.
    time : float or None
        Time of a rollout, tau; by default that of the longest reference.
    replicas : int
    seed : int
        Of the rollouts.
    """

    data: Sequence[str]
    validation: Sequence[str]
    reference: Sequence[str]
    training: Mapping[str, Any]
    network: Mapping[str, Any]
    time: float | None
    replicas: int
    seed: int

    def options(self, variant: Variant) -> tuple[TrainingOptions, NetworkOptions]:
        """Options of a variant."""
        return (
            TrainingOptions(**{**self.training, **variant.training}),
            NetworkOptions(**{**self.network, **variant.network}),
        )


@cache
def read_beads(directories: tuple[str, ...], atoms_per_bead: int, partition_seed: int) -> Any:
    """Trajectories of beads; variants with equal beads share them."""
    return load_data(find_data(directories), atoms_per_bead=atoms_per_bead, partition_seed=partition_seed)


def run_variant(variant: Variant, plan: Plan, references: Sequence[ReferenceSystem], folder: Path) -> dict[str, Any]:
    """Train and measure a variant, or read what is there of it.

    Raises
    ------
    UserError
        If the folder holds a variant of other options.
    """
    options, network = plan.options(variant)
    identity = json.loads(json.dumps({"plan": asdict(plan), "training": asdict(options), "network": asdict(network)}))
    record, result_file = folder / "variant.json", folder / "result.json"
    if record.exists() and read_json(record) != identity:
        raise UserError(f"{folder}: holds a variant of other options or data: use another --out")
    write_json(record, identity)
    if result_file.exists() and "failure" not in (known := read_json(result_file)):
        return known
    try:
        result = measure(train_variant(options, network, plan, folder), plan, references, folder)
    except UserError as error:
        # a variant that fails is a result, too
        result = {"failure": one_line(error)}
    write_json(result_file, without_nan(result))
    return read_json(result_file)


def train_variant(options: TrainingOptions, network: NetworkOptions, plan: Plan, folder: Path) -> Path:
    """Train a variant, or go on with it, and give the model file."""
    model = folder / "model.pt"
    if model.exists():
        return model
    beads = options.atoms_per_bead, options.partition_seed
    trajectories = read_beads(tuple(plan.data), *beads)
    return train(
        trajectories,
        model,
        options=options,
        network=network,
        validation=read_beads(tuple(plan.validation), *beads),
        lammps_atom_types=lammps_atom_types(trajectories),
    )


def measure(model: Path, plan: Plan, references: Sequence[ReferenceSystem], folder: Path) -> dict[str, Any]:
    """Roll a model out and compare it with the references."""
    learned = LearnedModel.load(model)
    time = max(item.duration for item in references) if plan.time is None else plan.time
    interval = max(1, round(50 / learned.time_step))
    settings = RunSettings(
        max(1, round(time / learned.time_step)), interval, interval * max(1, 500 // interval), plan.seed, plan.replicas
    )
    runs = simulate_references(learned, references, folder, settings, resume=True)
    evaluation = evaluate(
        learned,
        references,
        runs.folder,
        short_time=0.01 * time,
        stretch_limit=STRETCH_LIMIT * learned.description.longest_bond,
        core_seconds=runs.core_seconds,
        diverged=runs.diverged,
    )
    method = next(item for item in evaluation.methods if item.name == LEARNED)
    summary = read_json(next(runs.folder.rglob("summary.json")))
    return {
        "val_nll": learned.description.training["val_nll"],
        "estimates": {key: asdict(value) for key, value in method.estimates().items()},
        "n_runs": plan.replicas * len(references),
        "n_left": count_left(method, len(runs.diverged), plan.replicas),
        "core_seconds_per_step": summary["core_seconds_per_step"] / summary["systems_in_batch"],
        "core_seconds_per_time": summary["core_seconds_per_step"] / summary["systems_in_batch"] / learned.time_step,
    }


def count_left(method: Method, n_diverged: int, replicas: int) -> int:
    """Runs that left the physical region; of a system that diverged, all replicas count, since all are lost."""
    return method.n_stretched + n_diverged * replicas


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown table of variants, in the order of `VARIANTS`."""
    header = ["variant", "what is different", "one-step NLL", *(COLUMNS[key][0] for key in SHOWN)]
    header += ["runs that left the physical region", "ms per chain and step", "core-ms per chain and tau"]
    rows = []
    for name, variant in VARIANTS.items():
        result = results.get(name)
        if result is None:
            continue
        if "failure" in result:
            rows.append([name, variant.text, f"failed: {result['failure']}", *["-"] * (len(header) - 3)])
            continue
        estimates = [cell(result["estimates"][key]["value"], COLUMNS[key][1]) for key in SHOWN]
        cost = [cell(result[key], "{:.3f}", 1e3) for key in ("core_seconds_per_step", "core_seconds_per_time")]
        left = f"{result['n_left']} of {result['n_runs']}"
        rows.append([name, variant.text, cell(result["val_nll"], "{:.3f}"), *estimates, left, *cost])
    return markdown_text(header, rows)


def cell(value: float | None, form: str, factor: float = 1.0) -> str:
    """Number of a table; a dash where it is not known."""
    if value is None or not math.isfinite(value):
        return "-"
    # what has flown apart has numbers that would tear the table
    return form.format(factor * value) if abs(value) < 1e4 else f"{factor * value:.0e}"


def report(results: Mapping[str, Mapping[str, Any]], plan: Plan, n_references: int) -> str:
    """The table with what is needed to read it."""
    time = "as long as the longest reference" if plan.time is None else f"{plan.time:g} tau"
    return (
        f"# Ablations\n\nRollouts of {n_references} reference polymers, {plan.replicas} replicas each, {time}.\n\n"
        f"{table(results)}\n"
        "One-step NLL: of the validation data, per degree of freedom; comparable between variants with equal beads, time "
        "step and prior. Rg^2: r2, mean absolute error, earth mover's distance and correlation over polymers; relaxation time: "
        "relative deviation of the mean, and correlation. Seeds 1 and 2 show which differences are noise.\n"
    )


def parse(words: Sequence[str] | None) -> tuple[Plan, Path, list[str], int]:
    """Options of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.polymers.ablations", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", nargs="+", required=True, metavar="DIR", help="training data")
    parser.add_argument("--validation", nargs="+", required=True, metavar="DIR", help="validation data")
    parser.add_argument("--reference", nargs="+", required=True, metavar="DIR", help="long MD to compare rollouts with")
    parser.add_argument("--out", type=Path, required=True, help="folder: one below it per variant, and ablations.md")
    parser.add_argument("--steps", type=int, default=3000, help="training steps (3000)")
    parser.add_argument("--validate-every", type=int, default=250, help="training steps between validations (250)")
    parser.add_argument("--hidden", type=int, help="width of the Dynamics GNN, in place of the default")
    parser.add_argument("--layers", type=int, help="layers of the Dynamics GNN, in place of the default")
    parser.add_argument("--time", help="time of a rollout, for example 25000tau (that of the longest reference)")
    parser.add_argument("--replicas", type=int, default=4, help="rollouts of each polymer (4)")
    parser.add_argument("--seed", type=int, default=0, help="of the rollouts (0)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (1)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(VARIANTS), help=f"of {', '.join(VARIANTS)}")
    given = parser.parse_args(words)
    network = {key: value for key in ("hidden", "layers") if (value := getattr(given, key)) is not None}
    training = {"steps": given.steps, "validate_every": given.validate_every}
    time = None if given.time is None else parse_time(given.time, "lj")
    folders = [
        [str(Path(item).resolve()) for item in group] for group in (given.data, given.validation, given.reference)
    ]
    plan = Plan(folders[0], folders[1], folders[2], training, network, time, given.replicas, given.seed)
    return plan, given.out, given.only or list(VARIANTS), given.threads


def main(words: Sequence[str] | None = None) -> None:
    plan, out, names, threads = parse(words)
    torch.set_num_threads(threads)
    references = load_chains(plan.reference)
    for name in names:
        print(f"{name}: {VARIANTS[name].text}", flush=True)
        result = run_variant(VARIANTS[name], plan, references, out / name)
        if "failure" in result:
            print(f"  failed: {result['failure']}", flush=True)
        finished = {
            item: read_json(out / item / "result.json") for item in VARIANTS if (out / item / "result.json").exists()
        }
        write_text(out / "ablations.md", report(finished, plan, len(references)))
    print((out / "ablations.md").read_text(), end="")


if __name__ == "__main__":
    try:
        main()
    except UserError as problem:
        raise SystemExit(f"ablations: {problem}") from None
