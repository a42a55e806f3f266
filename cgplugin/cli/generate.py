"""``cgplugin generate``: short MD with OpenMM."""

from pathlib import Path

import click

from .dask_option import dask_option
from .options import config_option, show_progress


@click.command("generate")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the systems.")
@click.option("--platform", help="OpenMM platform; by default the fastest that works here.")
@click.option("--threads", type=int, help="Threads of the CPU platform per worker.  [1]")
@click.option("--workers", type=int, help="Processes side by side; by default one per core, or one on a GPU.")
@dask_option
@click.option("--seed", type=int, help="In place of the seed in SPEC.")
@click.option("--n-systems", type=int, help="In place of the number of systems in SPEC.")
@config_option
def command(
    spec: Path,
    out: Path,
    platform: str | None,
    threads: int | None,
    workers: int | None,
    dask: str | None,
    seed: int | None,
    n_systems: int | None,
) -> None:
    """Generate short MD of the systems that SPEC describes, a folder per system below --out.

    SPEC is a YAML file; examples/ has one of each kind. Its entry system says what is made: polymers (the default: single
    chains of a bead-spring force field), electrolytes (bead-spring chains and salt in a periodic box) or atomistic (polymer and
    salt with all atoms). All have length, recording_interval, relaxation (times in tau or ps), seed and name. Polymers have
    force_field (file, or "polymer"), n_systems, polymer_class (I or II), n_units, sequences (lists of indices of constitutional
    units, in place of a class) and chains_per_context. Electrolytes have force_field, n_systems, n_chains, n_repeats (of the
    pattern along a chain), n_salt (a number, or a list to draw from), compositions (a list of pattern and n_salt, in place of
    sampling) and density. An unknown entry is answered with all there are. Systems that are there already are kept, so that an
    interrupted run goes on where it was.
    """
    from openmm_integration.ground_truth.kinds import load_spec

    settings, generate = load_spec(spec, seed=seed, n_systems=n_systems)
    folders = generate(
        settings,
        out,
        platform=platform,
        threads=threads,
        workers=workers,
        dask=dask,
        progress=show_progress(),
        report=click.echo,
    )
    click.echo(f"{len(folders)} systems in {out}: {folders[0].name} to {folders[-1].name}")
