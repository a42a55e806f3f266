"""The whole way in one script: short MD, training, a long learned simulation of a new polymer, its properties.

    python examples/quickstart.py --out quickstart

Takes a few minutes on two cores. Every stage is a command that can be run by itself; what is there already is kept.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def cgplugin(*arguments: object) -> None:
    """Run a command as one would type it, and stop with its status if it fails."""
    words = [str(word) for word in arguments]
    print(f"\n$ cgplugin {' '.join(words)}", flush=True)
    begin = time.perf_counter()
    status = subprocess.run([sys.executable, "-m", "cgplugin", *words], check=False).returncode
    if status:
        sys.exit(status)
    print(f"  ({time.perf_counter() - begin:.0f} s)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("quickstart"))
    out = parser.parse_args().out

    # 1. ground truth: 48 regular copolymers, 250 tau of MD each
    cgplugin("generate", HERE / "polymers.yaml", "--out", out / "training")
    # 2. a polymer of another class (random copolymer), of which the model will never see any dynamics
    cgplugin("generate", HERE / "unseen_polymer.yaml", "--out", out / "unseen")
    # 3. train
    cgplugin("train", "--config", HERE / "train.yaml", "--data", out / "training", "--out", out / "model.pt")
    # 4. 25,000 tau, 100 times the length of the training runs, four replicas in one batch
    cgplugin(
        "simulate", out / "model.pt", out / "unseen" / "random0000" / "topology.pdb",
        "--time", "25000tau", "--replicas", 4, "--seed", 1, "--out", out / "simulation", "--resume",
    )  # fmt: skip
    # 5. properties
    cgplugin("analyze", out / "simulation", "--discard", 500)

    run = out / "simulation" / "random0000" / "replica-0"
    print("\nResults:")
    for what, path in (
        ("model", out / "model.pt"),
        ("topology (PDB with bonds)", run / "topology.pdb"),
        ("trajectory (DCD)", run / "trajectory.dcd"),
        ("Rg^2 at every step", run / "properties.csv"),
        ("plots of one replica", run / "analysis.png"),
        ("numbers of all", out / "simulation" / "analysis.csv"),
        ("overview plot", out / "simulation" / "analysis.png"),
        ("page to look at (HTML)", out / "simulation" / "report.html"),
    ):
        print(f"  {what:27s}{path}")
    print(f"\nLook at it:  vmd {run / 'topology.pdb'} {run / 'trajectory.dcd'} -e {HERE / 'vmd_beads.tcl'}")


if __name__ == "__main__":
    main()
