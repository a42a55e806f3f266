"""``cgplugin analyze``: properties of trajectories."""

from pathlib import Path

import click

from .options import config_option


@click.command("analyze")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results; by default DIRECTORY.")
@click.option(
    "--discard", type=float, default=0.0, show_default=True, help="Time at the beginning to leave out, ps or tau."
)
@click.option(
    "--interval", type=float, help="Time between frames, ps or tau, where nothing beside the trajectory says it."
)
@config_option
def command(directory: Path, out: Path | None, discard: float, interval: float | None) -> None:
    """Analyse every trajectory below DIRECTORY, as "cgplugin simulate" or "cgplugin generate" wrote them.

    Squared radius of gyration with its distribution, mean and standard error, autocorrelation and relaxation time; end-to-end
    distance. Written as CSV, JSON and plots beside each trajectory and, for all together, into DIRECTORY.
    """
    from cgplugin.analysis import analyze, summary_table
    from cgplugin.errors import UserError

    if discard < 0 or (interval is not None and interval <= 0):
        raise UserError("--discard must not be negative, and --interval must be positive")
    results = analyze(directory, discard=discard, interval=interval, out=out)
    click.echo(summary_table(results))
    place = out or directory
    click.echo(
        f"written to {place}: analysis.csv, analysis.json, analysis.png; per system analysis.png, *.csv, analysis.json"
    )
