"""An evaluation of periodic systems as tables: for the terminal, CSV, JSON, Markdown."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from cgplugin.files import write_json, write_text
from cgplugin.observables.statistics import value_and_error
from cgplugin.tables import aligned_text, csv_text, markdown_text, or_dash, without_nan
from cgplugin.units import length_unit, time_unit

from .agreement import Estimate
from .electrolyte_comparison import Comparison, ElectrolyteMethod
from .electrolyte_curves import write_curves
from .electrolyte_sample import DRIFTING, Measurement
from .electrolytes import ElectrolyteEvaluation
from .row_names import HALVES, SHORT_MD

SHORTER = 0.95
"""Learned runs shorter than this share of the reference are remarked upon: the paper's diffusivity depends on the length."""

_PERCENT = "{:.0%}"

_DIFFUSIVITY_COLUMNS = {
    "ratio": ("ratio", "{:.2f}"),
    "relative_error": ("abs. error", _PERCENT),
    "log_error": ("log10 MAE", "{:.2f}"),
    "log_r2": ("log10 r2", "{:.2f}"),
    "spearman": ("Spearman", "{:.2f}"),
}

_RDF_COLUMNS = {
    ("peak height", "ratio"): ("height ratio", "{:.2f}"),
    ("peak height", "relative_error"): ("abs. error", _PERCENT),
    ("peak position", "absolute_error"): ("place, abs. error", "{:.3f}"),
    ("RDF difference", "mean"): ("int. abs(g - g_ref)", "{:.3f}"),
}

_RUN_COLUMNS = {
    ("collisions", "ratio"): ("collisions", "{:.2f}"),
    **{(name, "ratio"): (name, "{:.2f}") for name in DRIFTING},
    **{(f"drift of {name}", "mean"): (f"drift of {name}", "{:.2f}") for name in DRIFTING},
}


def write_report(evaluation: ElectrolyteEvaluation, out: Path) -> list[Path]:
    """Write tables and plots into a folder and give their names.

    ``evaluation.md`` is for reading; ``statistics.csv`` holds every statistic over systems, ``comparisons.csv`` every number of
    every system, ``evaluation.json`` all of it; the curves are in the files of `cgplugin.evaluation.electrolyte_curves`.
    """
    from .electrolyte_plots import write_plots

    write_text(out / "evaluation.md", report_text(evaluation))
    write_text(out / "statistics.csv", statistics_csv(evaluation))
    write_text(out / "comparisons.csv", comparisons_csv(evaluation))
    write_json(out / "evaluation.json", to_json(evaluation))
    names = ("evaluation.md", "statistics.csv", "comparisons.csv", "evaluation.json")
    return [*(out / name for name in names), *write_curves(evaluation, out), *write_plots(evaluation, out)]


def terminal_text(evaluation: ElectrolyteEvaluation) -> str:
    """Tables of the methods and remarks, for the terminal; intervals are left to the files."""
    lines = []
    for title, header, rows in _tables(evaluation, intervals=False):
        lines += [title, *aligned_text(header, rows), ""]
    return "\n".join([*lines, *remarks(evaluation)])


def report_text(evaluation: ElectrolyteEvaluation) -> str:
    """The whole report as Markdown."""
    length, time = length_unit(evaluation.units), time_unit(evaluation.units)
    n = len(evaluation.systems)
    tables = "\n".join(
        f"## {title}\n\n{markdown_text(header, rows)}" for title, header, rows in _tables(evaluation, intervals=True)
    )
    notes = "".join(f"- {line}\n" for line in remarks(evaluation))
    return (
        f"# {Path(evaluation.model).name} against reference MD of {n} periodic system{'s' if n != 1 else ''}\n\n"
        f"{notes}\n{tables}\n"
        "Ratios are prediction over reference, averaged over systems; errors are averages of absolute ones, of diffusivities "
        "and heights in per cent, of logarithms in decades; r2 and Spearman's rank correlation are over systems. D from end to "
        "end is |x_T - x_0|^2 / 6T of the whole run, averaged over the particles of a species; the fit is the slope of the mean "
        "squared displacement. Both are of the molecules' centres of mass, without the drift of the system. A collision is "
        "closer than particles of the reference hardly ever come, a contact closer than the first neighbour of a species in the "
        "reference on average. Where a method has no first peak, the height is that of its RDF where the peak should be. "
        f"Displacement is the mean square of a bead in {evaluation.time_step:g} {time}, chain size the mean Rg^2 of beads; drift "
        "is the last third of the run over the first. Lengths are in "
        f"{length}, the integral over the RDF too: noise alone makes it what it is of MD halves. In brackets: 95 % bootstrap "
        f"interval over systems. Short MD is the first {evaluation.short_time:g} {time} of the reference; MD halves take its "
        f"first half as a prediction of the second.\n\n## Systems\n\n{markdown_text(*_systems_table(evaluation))}"
    )


def remarks(evaluation: ElectrolyteEvaluation) -> list[str]:
    """What a reader must know beside the numbers: runs that went astray, short runs, costs."""
    length, time = length_unit(evaluation.units), time_unit(evaluation.units)
    lines = [
        f"{name}: diverged, and left out of every number: {message}"
        for name, own in evaluation.diverged.items()
        for message in own.values()
    ]
    lines += [
        f"{method.name}: {method.n_stretched or 'none'} of {method.n_runs} runs had a CG bond longer than "
        f"{evaluation.stretch_limit:.3g} {length} (longest: {method.longest_bond:.3g})"
        for method in evaluation.methods
        if method.n_runs
    ]
    if evaluation.simulated_time < SHORTER * evaluation.reference_time:
        lines.append(
            f"the learned runs are {evaluation.simulated_time:g} {time} long, the longest reference "
            f"{evaluation.reference_time:g}: diffusivities from end to end depend on the length"
        )
    md, own = evaluation.md_seconds_per_time, evaluation.learned_seconds_per_time
    if own > 0:
        faster = f", {md / own:.3g} times less than MD" if math.isfinite(md) else ""
        lines.append(f"the learned simulation takes {own:.3g} core-seconds per system and {time}{faster}")
    return lines


def _tables(evaluation: ElectrolyteEvaluation, intervals: bool) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and rows of the tables over systems."""
    time, length = time_unit(evaluation.units), length_unit(evaluation.units)
    tables = []
    for quantity, title in (
        ("diffusivity", f"Diffusivity from end to end, |x_T - x_0|^2 / 6T, T = {evaluation.reference_time:g} {time}"),
        ("fitted diffusivity", "Diffusivity from the slope of the mean squared displacement"),
    ):
        columns = {(quantity, statistic): shown for statistic, shown in _DIFFUSIVITY_COLUMNS.items()}
        tables.append((title, ["species", "method", *_headings(columns)], _rows(evaluation, columns, intervals)))
    header = ["pair", "method", *_headings(_RDF_COLUMNS)]
    tables.append((f"Radial distribution, first peak ({length})", header, _rows(evaluation, _RDF_COLUMNS, intervals)))
    header = ["", "method", *_headings(_RUN_COLUMNS), "core-s per system"]
    costs = {method.name: or_dash(method.core_seconds, "{:.3g}") for method in evaluation.methods}
    rows = [[*row, costs[row[1]]] for row in _rows(evaluation, _RUN_COLUMNS, intervals)]
    tables.append(("Collisions, averages and drift (all as ratios), and cost", header[1:], [row[1:] for row in rows]))
    return tables


def _headings(columns: dict[tuple[str, str], tuple[str, str]]) -> list[str]:
    return [heading for heading, _ in columns.values()]


def _rows(
    evaluation: ElectrolyteEvaluation, columns: dict[tuple[str, str], tuple[str, str]], intervals: bool
) -> list[list[str]]:
    """A row for each subject and method that has one of the columns' quantities."""
    quantities = {quantity for quantity, _ in columns}
    subjects = dict.fromkeys(
        subject for method in evaluation.methods for quantity, subject in method.compared if quantity in quantities
    )
    rows = []
    for subject in subjects:
        for method in evaluation.methods:
            own = {quantity for quantity, known in method.compared if known == subject} & quantities
            if not own:
                continue
            known = {quantity: method.statistics(quantity, subject) for quantity in own}
            cells = [
                known[quantity][statistic].text(pattern, intervals) if quantity in known else "-"
                for (quantity, statistic), (_, pattern) in columns.items()
            ]
            rows.append([subject, method.name, *cells])
    return rows


def _with_error(item: Measurement) -> str:
    if not math.isfinite(item.value):
        return "-"
    if not math.isfinite(item.error):
        return f"{item.value:.3g}"
    return " +- ".join(value_and_error(item.value, item.error))


def _systems_table(evaluation: ElectrolyteEvaluation) -> tuple[list[str], list[list[str]]]:
    """Header and rows: what the simulations and MD say of every system, number by number, with standard errors."""
    shown = [method for method in evaluation.methods if method.name not in (SHORT_MD, HALVES)]
    header = ["system", "quantity", "of", "reference", *(method.name for method in shown)]
    rows = []
    for number, name in enumerate(evaluation.names):
        each = [_by_key(method.systems[number]) for method in shown]
        for quantity, subject in dict.fromkeys(key for own in each for key in own):
            found = [own.get((quantity, subject)) for own in each]
            truth = next(comparison.truth for comparison in found if comparison is not None)
            cells = [_with_error(Measurement() if item is None else item.prediction) for item in found]
            # a pair of species without a first peak has no row
            if any(cell != "-" for cell in (_with_error(truth), *cells)):
                rows.append([name, quantity, subject, _with_error(truth), *cells])
    return header, rows


def _by_key(comparisons: Sequence[Comparison] | None) -> dict[tuple[str, str], Comparison]:
    return {(item.quantity, item.subject): item for item in comparisons or ()}


def statistics_csv(evaluation: ElectrolyteEvaluation) -> str:
    """Every statistic over systems, a row each."""
    rows = [
        [method.name, quantity, subject, statistic, number.value, number.low, number.high]
        for method, quantity, subject, statistic, number in _statistics(evaluation)
    ]
    return csv_text(["method", "quantity", "of", "statistic", "value", "low", "high"], rows)


def _statistics(
    evaluation: ElectrolyteEvaluation,
) -> Iterable[tuple[ElectrolyteMethod, str, str, str, Estimate]]:
    for method in evaluation.methods:
        for quantity, subject in method.compared:
            for statistic, number in method.statistics(quantity, subject).items():
                yield method, quantity, subject, statistic, number


def comparisons_csv(evaluation: ElectrolyteEvaluation) -> str:
    """Every number of every method and system, a row each."""
    header = ["method", "system", "quantity", "of", "reference", "reference_error", "value", "error"]
    return csv_text(header, _each(evaluation, lambda method, system, c: [method, system, *_numbers(c).values()]))


def _each(evaluation: ElectrolyteEvaluation, make: Callable[[str, str, Comparison], Any]) -> list[Any]:
    return [
        make(method.name, name, comparison)
        for method in evaluation.methods
        for name, own in zip(evaluation.names, method.systems, strict=True)
        for comparison in own or ()
    ]


def _numbers(comparison: Comparison) -> dict[str, Any]:
    return {
        "quantity": comparison.quantity,
        "of": comparison.subject,
        "reference": comparison.truth.value,
        "reference_error": comparison.truth.error,
        "value": comparison.prediction.value,
        "error": comparison.prediction.error,
    }


def to_json(evaluation: ElectrolyteEvaluation) -> dict[str, Any]:
    """All numbers; what is not known is null."""
    content = {
        "model": evaluation.model,
        "length_unit": length_unit(evaluation.units),
        "time_unit": time_unit(evaluation.units),
        "time_step": evaluation.time_step,
        "short_time": evaluation.short_time,
        "simulated_time": evaluation.simulated_time,
        "reference_time": evaluation.reference_time,
        "stretch_limit": evaluation.stretch_limit,
        "diverged": evaluation.diverged,
        "remarks": remarks(evaluation),
        "md_core_seconds_per_system_and_time": evaluation.md_seconds_per_time,
        "learned_core_seconds_per_system_and_time": evaluation.learned_seconds_per_time,
        "methods": [
            {
                "name": method.name,
                "n_runs": method.n_runs,
                "n_stretched": method.n_stretched,
                "longest_bond": method.longest_bond,
                "core_seconds_per_system": method.core_seconds,
                "statistics": [
                    {
                        "quantity": quantity,
                        "of": subject,
                        **{
                            name: {"value": number.value, "low": number.low, "high": number.high}
                            for name, number in method.statistics(quantity, subject).items()
                        },
                    }
                    for quantity, subject in method.compared
                ],
                "systems": {
                    name: None if own is None else [_numbers(comparison) for comparison in own]
                    for name, own in zip(evaluation.names, method.systems, strict=True)
                },
            }
            for method in evaluation.methods
        ],
    }
    result: dict[str, Any] = without_nan(content)
    return result
