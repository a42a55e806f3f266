"""``cgplugin baseline``: regress a property from structures alone, for comparison."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cgplugin.baselines.options import BaselineOptions

from .data_options import conventions_from, lammps_options
from .options import config_option, dataclass_options, from_options, show_progress

if TYPE_CHECKING:
    from cgplugin.systems.lammps_files import LammpsConventions


@click.command("baseline")
@click.argument("kind", type=click.Choice(["ridge", "gnn", "lstm", "diffusivity"]))
@click.option("--data", multiple=True, required=True, metavar="DIR", help="Training data; may be given several times.")
@click.option("--validation", multiple=True, metavar="DIR", help="Systems whose error ends the training of a network.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option("--interval", type=float, help="Time between frames, ps or tau, where the files do not say it.")
@click.option("--threads", type=int, default=1, show_default=True, help="Threads of torch.")
@lammps_options
@dataclass_options(BaselineOptions)
@config_option
def command(
    kind: str,
    data: tuple[str, ...],
    validation: tuple[str, ...],
    out: Path,
    interval: float | None,
    threads: int,
    lammps_units: str | None,
    md_time_step: float | None,
    force_field: str | None,
    **options: Any,
) -> None:
    """Fit a baseline that predicts a property from the structure, without any simulation.

    KIND: ridge, gnn and lstm predict mean and standard deviation of Rg^2 of a chain: a linear regression on the fractions of its
    constitutional units, a graph network on its atoms and bonds, a recurrent network along its units. diffusivity predicts
    those of all species of an electrolyte in a periodic box at any time: a graph network gives y and theta of the curve
    log10 D(t) = y + exp(-theta t), fitted to |x_t - x_0|^2 / 6t of the MD. DIR holds what "cgplugin train" takes. "cgplugin
    evaluate --baseline FILE" measures the result beside a learned simulation.
    """
    import torch

    from cgplugin.errors import UserError
    from cgplugin.files import replacing

    if threads < 1:
        raise UserError(f"threads is {threads}, expected at least 1")
    torch.set_num_threads(threads)
    settings = from_options(BaselineOptions, options)
    if kind == "ridge" and (given := sorted(name for name, value in options.items() if value is not None)):
        raise UserError(f"the ridge regression has no option --{given[0].replace('_', '-')}")
    if kind != "ridge" and not validation:
        raise UserError(f"the baseline {kind} stops by its error on validation systems: give --validation")
    if out.is_dir():
        raise UserError(f"{out}: is a folder, expected the name of a file")
    # find out now whether it can be written
    with replacing(out.with_name(f".{out.name}.writable")) as temporary:
        temporary.touch()
    out.with_name(f".{out.name}.writable").unlink()
    conventions = conventions_from(lammps_units, md_time_step, force_field)
    if kind == "diffusivity":
        _diffusivity(data, validation, out, conventions, interval, settings)
    else:
        _rg2(kind, data, validation, out, conventions, interval, settings)
    click.echo(f"written to {out}")


def _rg2(
    kind: str,
    data: tuple[str, ...],
    validation: tuple[str, ...],
    out: Path,
    conventions: "LammpsConventions",
    interval: float | None,
    settings: BaselineOptions,
) -> None:
    """Fit and write a baseline of Rg^2."""
    from cgplugin.baselines.model_file import save, train_baseline
    from cgplugin.baselines.structure_property import PropertyData
    from cgplugin.evaluation.agreement import mean_absolute_error, r2
    from cgplugin.evaluation.reference_data import load_chains

    def read(directories: tuple[str, ...]) -> PropertyData:
        return PropertyData.of(
            load_chains(directories, conventions=conventions, interval=interval, progress=show_progress())
        )

    training = read(data)
    held_out = read(validation) if validation else None
    click.echo(f"read {len(training)} systems")
    baseline = train_baseline(kind, training, held_out, settings, show_progress())
    names = [system.name for system in training.systems]
    save(
        baseline,
        out,
        {"kind": kind, "systems": names, "validation": [s.name for s in held_out.systems] if held_out else []},
    )
    for name, known in (("training", training), ("validation", held_out)):
        if known is not None:
            means = baseline.predict(known.systems)[:, 0]
            click.echo(
                f"{name}: r2 = {r2(known.values[:, 0], means):.2f}, "
                f"MAE = {mean_absolute_error(known.values[:, 0], means):.2f} of mean Rg^2"
            )


def _diffusivity(
    data: tuple[str, ...],
    validation: tuple[str, ...],
    out: Path,
    conventions: "LammpsConventions",
    interval: float | None,
    settings: BaselineOptions,
) -> None:
    """Fit and write the baseline of diffusivities."""
    from cgplugin.baselines.apparent_diffusivity import DiffusivityCurves
    from cgplugin.baselines.diffusivity import DiffusivityBaseline
    from cgplugin.baselines.model_file import save
    from cgplugin.evaluation.reference_data import load_electrolytes

    def read(directories: tuple[str, ...]) -> list[DiffusivityCurves]:
        references = load_electrolytes(
            directories, conventions=conventions, interval=interval, progress=show_progress()
        )
        return [DiffusivityCurves.of(reference) for reference in references]

    training, held_out = read(data), read(validation)
    click.echo(f"read {len(training)} systems")
    baseline = DiffusivityBaseline.fit(training, held_out, settings, show_progress())
    known = {"training": training, "validation": held_out}
    names = {name: [curves.system.name for curves in each] for name, each in known.items()}
    save(baseline, out, {"kind": baseline.kind, "systems": names["training"], "validation": names["validation"]})
    for name, each in known.items():
        click.echo(f"{name}: log10 of D(t) is off by {baseline.error(each):.3f} (root mean square)")
