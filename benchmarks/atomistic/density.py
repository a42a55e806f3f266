"""Density of all-atom polymer electrolytes, equilibrated for real.

python benchmarks/atomistic/density.py --out DIR [--workers 2]
"""

import argparse
import json
from pathlib import Path

from openmm_integration.atomistic.generate import AtomisticSpec, generate_atomistic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spec", type=Path, default=Path(__file__).with_name("electrolytes.yaml"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the systems")
    parser.add_argument("--workers", type=int, help="systems side by side")
    options = parser.parse_args()
    spec = AtomisticSpec.load(options.spec)
    folders = generate_atomistic(spec, options.out, workers=options.workers, progress=True, report=print)
    print("| system | atoms | density, g/cm^3 | box, nm |")
    print("|---|---|---|---|")
    for folder in folders:
        system = json.loads((folder / "system.json").read_text())
        made = system["provenance"]
        density = f"{made['density']:.3f} ± {made['density_error']:.3f}"
        print(f"| {system['name']} | {len(system['masses'])} | {density} | {made['box_edge']:.3f} |")


if __name__ == "__main__":
    main()
