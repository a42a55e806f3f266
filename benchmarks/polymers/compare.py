"""Rg^2 and relaxation times of learned runs against long reference MD of the same polymers.

    python benchmarks/polymers/compare.py RUNS REFERENCE

RUNS is what "cgplugin simulate" wrote for the polymers (with or without replicas), REFERENCE a folder per polymer with
``rg2.npy``, recorded every 0.5 tau.
"""

import argparse
from pathlib import Path

import numpy as np

from cgplugin.statistics import earth_movers_distance, relaxation_time

REFERENCE_INTERVAL = 0.5


def read_series(path: Path) -> tuple[np.ndarray, float]:
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    return table[:, 1], float(table[1, 0] - table[0, 0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("reference", type=Path)
    options = parser.parse_args()
    rows = []
    print(
        "| polymer | MD mean Rg^2 | learned | EMD | MD relaxation | learned | largest Rg^2 |\n|---|---|---|---|---|---|---|"
    )
    for folder in sorted(path.parent for path in options.reference.glob("*/rg2.npy")):
        truth = np.load(folder / "rg2.npy").astype(float)
        files = sorted((options.runs / folder.name).rglob("properties.csv"))
        series = [read_series(file) for file in files]
        learned = np.concatenate([values for values, _ in series])
        times = [relaxation_time(values, interval).time for values, interval in series]
        row = (
            truth.mean(),
            learned.mean(),
            earth_movers_distance(truth, learned),
            relaxation_time(truth, REFERENCE_INTERVAL).time,
            float(np.nanmean(times)),
            learned.max(),
        )
        rows.append(row)
        print(f"| {folder.name} | " + " | ".join(f"{value:.1f}" for value in row) + " |")
    truth, learned, distance, slow, fast, _ = np.array(rows).T
    r2 = 1 - ((truth - learned) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    print(
        f"\nmean Rg^2: r2 = {r2:.2f}, MAE = {np.abs(truth - learned).mean():.2f}, EMD = {distance.mean():.2f}, correlation "
        f"{np.corrcoef(truth, learned)[0, 1]:.2f}; relaxation time: mean {100 * (fast.mean() / slow.mean() - 1):+.0f} %, "
        f"correlation {np.corrcoef(slow, fast)[0, 1]:.2f}"
    )


if __name__ == "__main__":
    main()
