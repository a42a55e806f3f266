"""Option of commands whose systems are done side by side."""

import click

dask_option = click.option(
    "--dask",
    metavar="local|ADDRESS|FILE",
    help="Dask workers: local (the default where there are several tasks: one worker per core), those of a running scheduler "
    "(tcp://host:8786), or jobs of Slurm, PBS, ... as a YAML file says.  [docs/cluster.md]",
)
