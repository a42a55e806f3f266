"""Speed and memory of `open_dump` against MDAnalysis and numpy, all contestants taking turns in one run.

    python -m benchmarks.lammps_reader.benchmark --out benchmarks/lammps_reader/results.json

Every contestant gets the same files, and the best of several rounds counts, since the machine may be shared. numpy gets the rows
alone, as one text without headers, and only makes floats of them: no sorting, no unwrapping, no checks.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import MDAnalysis
import numpy as np
from MDAnalysis.coordinates.LAMMPS import DumpReader

from lammps_reader import open_dump

N_ATOMS, N_FRAMES = 10_000, 30
LENGTH = 40.0

PEAK = """
import re, sys
from lammps_reader import open_dump

def peak():
    # unlike ru_maxrss, not that of the process that started this one
    return re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]

before = peak()
n = sum(len(frame.ids) for frame in open_dump(sys.argv[1], cache=False))
print(n, before, peak())
"""


def frame(kind: str, step: int, random: np.random.Generator) -> str:
    """One frame as LAMMPS writes it, six digits but for ``digits``."""
    ids = np.arange(1, N_ATOMS + 1)
    types = random.integers(1, 5, N_ATOMS)
    if kind == "unsorted":
        random.shuffle(ids)
    if kind == "scaled, flags":
        columns = "id type xs ys zs ix iy iz"
        values = [random.random((N_ATOMS, 3)), random.integers(-3, 4, (N_ATOMS, 3))]
        form = "%d %d %g %g %g %d %d %d \n"
    elif kind == "digits, velocities":
        columns = "id type xu yu zu vx vy vz"
        values = [random.normal(0, LENGTH, (N_ATOMS, 3)), random.normal(0, 1, (N_ATOMS, 3))]
        form = "%d %d %.15g %.15g %.15g %.15g %.15g %.15g \n"
    else:
        columns = "id type x y z ix iy iz" if kind == "triclinic, flags" else "id type xu yu zu"
        values = [random.normal(0, LENGTH, (N_ATOMS, 3))]
        form = "%d %d %g %g %g \n"
        if kind == "triclinic, flags":
            values.append(random.integers(-3, 4, (N_ATOMS, 3)))
            form = "%d %d %g %g %g %d %d %d \n"
    bounds = f"0.0 {LENGTH}\n" * 3
    item = "pp pp pp"
    if kind == "triclinic, flags":
        item, bounds = "xy xz yz pp pp pp", f"-3.0 {LENGTH + 5} 5.0\n0.0 {LENGTH + 2} -3.0\n0.0 {LENGTH} 2.0\n"
    table = np.column_stack([ids, types, *values]).tolist()
    rows = "".join(form % tuple(row) for row in table)
    count = f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{N_ATOMS}\n"
    return f"{count}ITEM: BOX BOUNDS {item}\n{bounds}ITEM: ATOMS {columns} \n{rows}"


KINDS = ("unwrapped", "unsorted", "scaled, flags", "triclinic, flags", "digits, velocities")


def numpy_ways(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Ways of numpy to make floats of the rows."""
    rows = b"".join(re.findall(rb"ITEM: ATOMS[^\n]*\n([^I]*)", path.read_bytes()))
    assert rows.count(b"\n") == N_ATOMS * N_FRAMES
    plain = path.with_suffix(".rows")
    plain.write_bytes(rows)
    yield "np.fromstring", lambda: np.fromstring(rows, sep=" ")
    yield "np.fromfile", lambda: np.fromfile(plain, sep=" ")
    yield "np.loadtxt", lambda: np.loadtxt(plain)
    yield "np.array(split)", lambda: np.array(rows.split(), dtype=np.float64)


def ours(path: Path) -> int:
    return sum(len(one.ids) for one in open_dump(path, cache=False))


def mdanalysis(path: Path, kind: str) -> int:
    convention = {"scaled, flags": "scaled", "triclinic, flags": "unscaled"}.get(kind, "unwrapped")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = DumpReader(str(path), lammps_coordinate_convention=convention, unwrap_images="flags" in kind)
        return sum(len(step.positions) for step in reader)


def best_times(contestants: dict[str, Callable[[], object]], n_rounds: int) -> dict[str, float]:
    """Best time of each, s."""
    times = dict.fromkeys(contestants, float("inf"))
    for _ in range(n_rounds):
        for name, run in contestants.items():
            begin = time.perf_counter()
            run()
            times[name] = min(times[name], time.perf_counter() - begin)
    return times


def speed(kind: str, folder: Path, n_rounds: int) -> dict[str, float | str]:
    random = np.random.default_rng(4711)
    path = folder / "t.lammpstrj"
    path.write_text("".join(frame(kind, 100 * n, random) for n in range(N_FRAMES)))
    assert ours(path) == mdanalysis(path, kind) == N_ATOMS * N_FRAMES
    contestants = {
        "open_dump": lambda: ours(path),
        "MDAnalysis": lambda: mdanalysis(path, kind),
        **dict(numpy_ways(path)),
    }
    times = best_times(contestants, n_rounds)
    megabytes = path.stat().st_size / 1e6
    fastest = min((name for name in times if name.startswith("np.")), key=lambda name: times[name])
    return {
        "kind": kind,
        "megabytes": round(megabytes, 1),
        **{f"{name}, MB/s": round(megabytes / seconds, 2) for name, seconds in times.items()},
        "times MDAnalysis": round(times["MDAnalysis"] / times["open_dump"], 1),
        "fastest of numpy": fastest,
        "share of numpy": round(times[fastest] / times["open_dump"], 2),
    }


def memory(folder: Path, gigabytes: float) -> dict[str, float]:
    """Peak resident memory of a process that reads a large file."""
    path = folder / "large.lammpstrj"
    body = frame("unsorted", 0, np.random.default_rng(0)).split("\n", 2)[2]
    n_frames = int(gigabytes * 1e9 / len(body))
    with path.open("w") as stream:
        for n in range(n_frames):
            stream.write(f"ITEM: TIMESTEP\n{n}\n{body}")
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begin
    n_rows, before, peak = map(int, done.stdout.split())
    assert n_rows == n_frames * N_ATOMS
    size = path.stat().st_size
    path.unlink()
    return {
        "gigabytes": round(size / 1e9, 2), "frames": n_frames, "seconds": round(seconds, 1),
        "MB before": round(before / 1024), "MB at the peak": round(peak / 1024),
    }  # fmt: skip


def processor() -> str:
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="size of the file of the memory test")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speeds = [speed(kind, Path(folder), options.rounds) for kind in KINDS]
        peak = memory(Path(folder), options.gigabytes)
    versions = {"python": platform.python_version(), "numpy": np.__version__, "MDAnalysis": MDAnalysis.__version__}
    options.out.write_text(
        json.dumps({"processor": processor(), **versions, "speed": speeds, "memory": peak}, indent=1) + "\n"
    )
    print(
        "| kind | MB | open_dump, MB/s | MDAnalysis, MB/s | numpy's fastest, MB/s | times MDAnalysis | share of numpy |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in speeds:
        fastest = row["fastest of numpy"]
        print(
            f"| {row['kind']} | {row['megabytes']} | {row['open_dump, MB/s']} | {row['MDAnalysis, MB/s']} | "
            f"{row[f'{fastest}, MB/s']} ({fastest}) | {row['times MDAnalysis']} | {row['share of numpy']} |"
        )
    print(peak)


if __name__ == "__main__":
    main()
