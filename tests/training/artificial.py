"""A cohort of H5 features with a planted signal and a table, as a lab might have it."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np

CLASSES = ("0", "1+", "2+", "3+")


def write_features(file: Path, features: np.ndarray, corners: np.ndarray) -> None:
    """Write one slide as TRIDENT does: 256 px tiles at 20x of a slide scanned at 40x."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as h5:
        h5["features"] = features.astype(np.float32)
        coords = h5.create_dataset("coords", data=corners.astype(np.int64))
        coords.attrs.update(
            patch_size=256, patch_size_level0=512, level0_magnification=40, target_magnification=20, overlap=0
        )


def make_cohort(
    folder: Path,
    patients: int = 40,
    *,
    classes: tuple[str, ...] = CLASSES,
    dimension: int = 8,
    tiles: int = 24,
    signal: float = 3.0,
    seed: int = 0,
    prefix: str = "P",
) -> Path:
    """Write ``cohort.csv`` and ``features``; a quarter of the tiles moves along one feature with the class."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        label, count = number % len(classes), int(rng.integers(tiles // 2, tiles + 1))
        features = rng.normal(size=(count, dimension))
        features[: count // 4 + 1, 0] += signal * label
        corners = np.stack(np.divmod(np.arange(count), 5), axis=1) * 512
        write_features(folder / "features" / f"{prefix}{number}.h5", features, corners)
        receptor = "Positive" if rng.random() < 0.5 else "Negative"
        rows.append((f"{prefix}{number}", f"{prefix}{number}.svs", classes[label], f"S{number // 4 % 3}", receptor))
    table = folder / "cohort.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("PATIENT", "FILENAME", "HER2", "SITE", "ER"), *rows])
    return table
