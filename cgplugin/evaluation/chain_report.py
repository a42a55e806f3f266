"""An evaluation of chains as tables: for the terminal, CSV, JSON, Markdown."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cgplugin.files import write_json, write_text
from cgplugin.tables import aligned_text, csv_text, markdown_text, or_dash, without_nan
from cgplugin.units import length_unit, time_unit

from .chain_curves import write_curves
from .chains import Evaluation, Method
from .row_names import HALVES, LEARNED

COLUMNS = {
    "rg2_r2": ("Rg^2 r2", "{:.2f}"),
    "rg2_mae": ("Rg^2 MAE", "{:.2f}"),
    "rg2_emd": ("Rg^2 EMD", "{:.2f}"),
    "rg2_correlation": ("Rg^2 corr.", "{:.2f}"),
    "relaxation_deviation": ("relax. mean", "{:+.0%}"),
    "relaxation_correlation": ("relax. corr.", "{:.2f}"),
    "relaxation_r2": ("relax. r2", "{:.2f}"),
    "surface_divergence": ("surface JS", "{:.3f}"),
    "bond_emd": ("bond EMD", "{:.3f}"),
}
"""Heading and format of every number of `Method.estimates`."""


def write_report(evaluation: Evaluation, out: Path) -> list[Path]:
    """Write tables and plots into a folder and give their names.

    ``evaluation.md`` is for reading; ``methods.csv`` and ``systems.csv`` hold its two tables, ``evaluation.json`` all of it;
    the curves are in the files of `cgplugin.evaluation.chain_curves`.
    """
    from .chain_plots import write_plots

    write_text(out / "evaluation.md", report_text(evaluation))
    write_text(out / "methods.csv", methods_csv(evaluation))
    write_text(out / "systems.csv", systems_csv(evaluation))
    write_json(out / "evaluation.json", to_json(evaluation))
    names = ("evaluation.md", "methods.csv", "systems.csv", "evaluation.json")
    return [*(out / name for name in names), *write_curves(evaluation, out), *write_plots(evaluation, out)]


def terminal_text(evaluation: Evaluation) -> str:
    """Table of the methods and remarks, for the terminal; intervals are left to the files."""
    lines = aligned_text(_header(), [_row(method, intervals=False) for method in evaluation.methods])
    return "\n".join([*lines, *remarks(evaluation)])


def report_text(evaluation: Evaluation) -> str:
    """The whole report as Markdown."""
    length, time = length_unit(evaluation.units), time_unit(evaluation.units)
    n = len(evaluation.systems)
    header = _header()
    methods = markdown_text(header, [_row(method, intervals=True) for method in evaluation.methods])
    systems = markdown_text(*_systems_table(evaluation))
    notes = "".join(f"- {line}\n" for line in remarks(evaluation))
    return (
        f"# {Path(evaluation.model).name} against reference MD of {n} system{'s' if n != 1 else ''}\n\n"
        f"{methods}\n"
        f"Rg^2: r2, mean absolute error ({length}^2) and correlation of its mean over systems; earth mover's distance of its "
        f"distribution, averaged over systems ({length}^2). Relax.: time in which the autocorrelation of Rg^2 falls to 1/e; "
        "relative deviation of its mean, correlation and r2 over systems. Surface JS: Jensen-Shannon divergence (bits) of the "
        "free-energy surfaces on two principal components of the bead-bead distances. Bond EMD: of the lengths of CG bonds "
        f"({length}). In brackets: 95 % bootstrap interval over systems. Short MD is the first "
        f"{evaluation.short_time:g} {time} of the reference; MD halves take its first half as a prediction of the second.\n\n"
        f"{notes}\n## Systems\n\n{systems}"
    )


def remarks(evaluation: Evaluation) -> list[str]:
    """What a reader must know beside the numbers: runs that went astray, missing numbers, costs."""
    length, time = length_unit(evaluation.units), time_unit(evaluation.units)
    lines = [f"diverged, and left out of every number: {message}" for message in evaluation.diverged.values()]
    learned = next((method for method in evaluation.methods if method.name == LEARNED), None)
    if learned is not None:
        limit = f"{evaluation.stretch_limit:.3g} {length}"
        if learned.n_stretched:
            names = [
                name
                for name, prediction in zip(evaluation.names, learned.predictions, strict=True)
                if prediction is not None and prediction.n_stretched
            ]
            lines.append(
                f"{learned.n_stretched} of {learned.n_runs} learned runs had a CG bond longer than {limit} and count in the "
                f"numbers as they are: {', '.join(names)}"
            )
        else:
            lines.append(f"none of {learned.n_runs} learned runs had a CG bond longer than {limit}")
    lines += [
        f"{method.name}: relaxation times are known of {method.n_relaxations} of {method.n_systems} systems"
        for method in evaluation.methods
        if method.name in (LEARNED, HALVES) and method.n_relaxations < method.n_systems
    ]
    md, own = evaluation.md_seconds_per_time, evaluation.learned_seconds_per_time
    if math.isfinite(md) and own > 0:
        lines.append(
            f"the learned simulation takes {md / own:.3g} times fewer core-seconds than MD per system and {time}"
        )
    return lines


def _header() -> list[str]:
    return [
        "method",
        *(heading for heading, _ in COLUMNS.values()),
        "longest bond",
        "stretched runs",
        "core-s per system",
    ]


def _row(method: Method, intervals: bool) -> list[str]:
    numbers = method.estimates()
    simulated = method.n_runs > 0
    return [
        method.name,
        *(numbers[key].text(pattern, intervals) for key, (_, pattern) in COLUMNS.items()),
        or_dash(method.longest_bond, "{:.2f}"),
        f"{method.n_stretched} of {method.n_runs}" if simulated else "-",
        or_dash(method.core_seconds, "{:.3g}"),
    ]


def _systems_table(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of systems."""
    others = [method for method in evaluation.methods if method.name not in (LEARNED, HALVES)]
    header = ["system", "MD mean Rg^2", "learned", "EMD", *(method.name for method in others)]
    header += ["MD relaxation", "learned", "surface", "longest bond", "stretched runs"]
    rows = []
    learned = _method(evaluation, LEARNED)
    for number, comparison in enumerate(evaluation.systems):
        own = learned.predictions[number] if learned is not None else None
        truth = comparison.reference.rg2.mean()
        row = [comparison.reference.name, f"{truth:.1f}"]
        row += ["diverged", "-"] if own is None else [f"{own.mean:.1f}", f"{own.emd:.1f}"]
        for method in others:
            prediction = method.predictions[number]
            row.append("-" if prediction is None else f"{prediction.mean:.1f}")
        if own is None:
            row += ["-"] * 5
        else:
            row += [or_dash(own.true_relaxation, "{:.1f}"), or_dash(own.relaxation, "{:.1f}")]
            row += [or_dash(own.surface_divergence, "{:.3f}"), f"{own.longest_bond:.2f}"]
            row.append(f"{own.n_stretched} of {own.n_runs}")
        rows.append(row)
    return header, rows


def _method(evaluation: Evaluation, name: str) -> Method | None:
    return next((method for method in evaluation.methods if method.name == name), None)


def methods_csv(evaluation: Evaluation) -> str:
    """Table of the methods with intervals, a column for each bound."""
    header = ["method", "n_systems"]
    for key in COLUMNS:
        header += [key, f"{key}_low", f"{key}_high"]
    header += ["n_relaxations", "n_runs", "n_stretched", "longest_bond", "core_seconds_per_system"]
    return csv_text(header, (_csv_row(method) for method in evaluation.methods))


def _csv_row(method: Method) -> Iterable[Any]:
    numbers = method.estimates()
    yield from (method.name, method.n_systems)
    for key in COLUMNS:
        yield from (numbers[key].value, numbers[key].low, numbers[key].high)
    yield from (method.n_relaxations, method.n_runs, method.n_stretched, method.longest_bond, method.core_seconds)


_SYSTEM_COLUMNS = (
    "true_mean", "mean", "emd", "true_relaxation", "relaxation", "surface_divergence", "bond_emd", "n_runs", "n_stretched",
    "longest_bond", "core_seconds",
)  # fmt: skip


def systems_csv(evaluation: Evaluation) -> str:
    """Every number of every method and system; a system that diverged has an empty row."""
    rows = []
    for method in evaluation.methods:
        for name, prediction in zip(evaluation.names, method.predictions, strict=True):
            values = [None if prediction is None else getattr(prediction, column) for column in _SYSTEM_COLUMNS]
            rows.append([method.name, name, *values])
    return csv_text(["method", "system", *_SYSTEM_COLUMNS], rows)


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """All numbers; what is not known is null."""
    content = {
        "model": evaluation.model,
        "length_unit": length_unit(evaluation.units),
        "time_unit": time_unit(evaluation.units),
        "short_time": evaluation.short_time,
        "stretch_limit": evaluation.stretch_limit,
        "diverged": evaluation.diverged,
        "remarks": remarks(evaluation),
        "md_core_seconds_per_system_and_time": evaluation.md_seconds_per_time,
        "learned_core_seconds_per_system_and_time": evaluation.learned_seconds_per_time,
        "methods": [
            {
                "name": method.name,
                "n_systems": method.n_systems,
                "n_relaxations": method.n_relaxations,
                "n_runs": method.n_runs,
                "n_stretched": method.n_stretched,
                "longest_bond": method.longest_bond,
                "core_seconds_per_system": method.core_seconds,
                **{
                    key: {"value": number.value, "low": number.low, "high": number.high}
                    for key, number in method.estimates().items()
                },
                "systems": {
                    name: None if own is None else {column: getattr(own, column) for column in _SYSTEM_COLUMNS}
                    for name, own in zip(evaluation.names, method.predictions, strict=True)
                },
            }
            for method in evaluation.methods
        ],
    }
    result: dict[str, Any] = without_nan(content)
    return result
