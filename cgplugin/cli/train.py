"""``cgplugin train``: from short MD to a model file."""

from pathlib import Path
from typing import Any

import click

from cgplugin.networks.options import NetworkOptions
from cgplugin.training.options import TrainingOptions

from .data_options import conventions_from, lammps_options
from .options import config_option, dataclass_options, from_options, show_progress

ONE_THREAD_WIDTH = 64
"""Up to this width a second thread gains nothing, and costs much on a busy machine."""


@click.command("train")
@click.option("--data", multiple=True, required=True, metavar="DIR", help="Training data; may be given several times.")
@click.option("--validation", multiple=True, metavar="DIR", help="Validation data; by default a share of the systems.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Model file to write.")
@click.option(
    "--preset",
    type=click.Choice(["small", "paper"]),
    default="small",
    show_default=True,
    help="Starting point of the options below: small trains on two cores in minutes; paper has the sizes of the paper.",
)
@click.option("--interval", type=float, help="Time between frames, ps or tau, where the files do not say it.")
@click.option("--restart", is_flag=True, help="Throw away an unfinished training beside --out.")
@click.option("--threads", type=int, help="Threads of torch; by default one for narrow networks, else all cores.")
@click.option(
    "--devices", type=int, default=1, show_default=True, help="GPUs, or CPU processes, that share each batch."
)
@click.option(
    "--num-workers",
    type=int,
    default=1,
    show_default=True,
    help="1: a process beside the training makes its batches ahead (Linux); 0: none. The results are the same.",
)
@click.option("--nodes", type=int, default=1, show_default=True, help="Machines with as many each.  [docs/cluster.md]")
@lammps_options
@dataclass_options(TrainingOptions)
@dataclass_options(NetworkOptions)
@config_option
def command(
    data: tuple[str, ...],
    validation: tuple[str, ...],
    out: Path,
    preset: str,
    interval: float | None,
    restart: bool,
    threads: int | None,
    devices: int,
    num_workers: int,
    nodes: int,
    lammps_units: str | None,
    md_time_step: float | None,
    force_field: str | None,
    **options: Any,
) -> None:
    """Train a learned simulator on the systems below --data and write it to --out.

    DIR holds what "cgplugin generate" wrote, or LAMMPS files (*.data with *.lammpstrj, also .gz or .bz2), at any depth.
    Checkpoints and logs go to a folder beside --out; a killed training goes on where it was when started again.
    """
    import torch

    from cgplugin.errors import UserError
    from cgplugin.networks import options as network_options
    from cgplugin.training import options as training_options
    from cgplugin.training import trainer as training
    from cgplugin.training.data import find_data, lammps_atom_types, load_data
    from cgplugin.training.processes import Processes

    if threads is not None and threads < 1:
        raise UserError(f"threads is {threads}, expected at least 1")
    paper = preset == "paper"
    settings = from_options(TrainingOptions, options, **(training_options.PAPER if paper else {}))
    network = from_options(NetworkOptions, options, **(network_options.PAPER if paper else {}))
    if threads is None:
        threads = 1 if network.hidden <= ONE_THREAD_WIDTH else max(1, torch.get_num_threads() // devices)
    processes = Processes(devices, nodes, threads, num_workers)
    # those of several processes are theirs: this one must not have any when it is forked
    torch.set_num_threads(threads if processes.number == 1 else 1)
    training.check_output(out)
    conventions = conventions_from(lammps_units, md_time_step, force_field)
    progress = show_progress()
    # nodes do not wait for each other here: each has its own files
    beads = f"beads-{processes.node}" if processes.node else "beads"

    def read(directories: tuple[str, ...], name: str) -> Any:
        return load_data(
            find_data(directories),
            atoms_per_bead=settings.atoms_per_bead,
            partition_seed=settings.partition_seed,
            conventions=conventions,
            interval=interval,
            scratch=training.working_folder(out) / beads / name,
            progress=progress,
        )

    trajectories = read(data, "training")
    held_out = read(validation, "validation") if validation else None
    click.echo(f"read {len(trajectories)} systems, {sum(t.n_frames for t in trajectories)} frames")
    written = training.train(
        trajectories,
        out,
        options=settings,
        network=network,
        validation=held_out,
        lammps_atom_types=lammps_atom_types(trajectories),
        processes=processes,
        restart=restart,
        progress=progress,
    )
    if processes.node:
        return
    click.echo(f"model:  {written}")
    click.echo(f"logs:   {training.working_folder(out)}")
