"""How long a cross-validation takes: five folds on as many cases as Du et al. had, 500 tiles each, 512 features.

    python benchmarks/training.py [--cases 350] [--tiles 500] [--model kat] [--preset NAME] [--epochs N] [--workers N]

Features are drawn, with a signal that tells the four grades, and written in STAMP's layout. `her2qp crossval` then runs
in a process of its own with its defaults and no GPU, all that it prints and reports included. Wall clock and processor
time are told apart, for a machine with other work to do stretches only the first.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

GRADES = ("0", "1+", "2+", "3+")
SHARES = np.array((59, 80, 105, 106)) / 350
DIMENSION = 512
TILE_UM = 128.0


def draw_cohort(folder: Path, cases: int, tiles: int, seed: int = 0) -> Path:
    """Write features and the table; in each slide a patch of tiles moves along a few features with the grade."""
    rng = np.random.default_rng(seed)
    grades = np.repeat(np.arange(4), np.diff(np.rint(np.cumsum([0, *SHARES]) * cases).astype(int)))
    (folder / "features").mkdir(parents=True)
    side = int(np.ceil(np.sqrt(1.3 * tiles)))
    rows = []
    for number, grade in enumerate(grades):
        cells = np.sort(rng.permutation(side * side)[:tiles])
        corners = np.stack(np.divmod(cells, side), axis=1) * TILE_UM
        features = rng.normal(size=(tiles, DIMENSION))
        middle = corners[rng.integers(tiles)]
        patch = np.argsort(((corners - middle) ** 2).sum(axis=1))[: tiles // 5]
        features[patch, :8] += 0.6 * grade
        with h5py.File(folder / "features" / f"case-{number:03d}.h5", "w") as h5:
            h5["feats"], h5["coords"] = features.astype(np.float16), corners
            h5.attrs.update(unit="um", tile_size_um=TILE_UM, tile_size_px=256, extractor="drawn")
        rows.append((f"case-{number:03d}", f"case-{number:03d}.h5", GRADES[grade], f"site {number % 6}"))
    with (folder / "cohort.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("PATIENT", "FILENAME", "HER2", "SITE"), *rows])
    return folder / "cohort.csv"


def main() -> None:
    """Draw, cross-validate in a process of its own, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=350)
    parser.add_argument("--tiles", type=int, default=500)
    parser.add_argument("--model", default="kat")
    parser.add_argument("--preset")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--workers", type=int)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cohort = draw_cohort(folder, chosen.cases, chosen.tiles)
        words = ["crossval", cohort, "--features", folder / "features", "--out", folder / "run", "--artificial"]
        words += ["--model", chosen.model, "--json"]
        words += ["--preset", chosen.preset] if chosen.preset else []
        words += ["--epochs", chosen.epochs] if chosen.epochs else []
        words += ["--workers", chosen.workers] if chosen.workers else []
        began = time.perf_counter()
        done = subprocess.run(  # noqa: S603 - fixed words
            [sys.executable, "-m", "her2qp", *map(str, words)],
            stdout=subprocess.PIPE,
            check=True,
        )
        wall = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = json.loads(done.stdout)
    epochs = sum(model["epochs"] for model in run["models"])
    auc = run["evaluation"]["metrics"]["auc_macro_ovr"]["estimate"]
    print(
        f"{chosen.model} {chosen.preset or 'default'}: {wall / 60:.1f} min wall clock, "
        f"{(used.ru_utime + used.ru_stime) / 60:.1f} min of processor time, "
        f"{used.ru_maxrss / 2**20:.1f} GiB in the largest process, "
        f"{len(run['models'])} models, {epochs} epochs, AUC (macro OvR) of the drawn signal {auc:.3f}"
    )


if __name__ == "__main__":
    main()
