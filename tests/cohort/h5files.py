"""Feature files as other programs write them: their keys, attributes and units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def features_of(count: int, dimension: int = 6, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def grid(count: int, side: int) -> NDArray[np.int64]:
    """Top-left corners of tiles side by side, three to a row."""
    corners = [(k % 3 * side + 1000, k // 3 * side + 2000) for k in range(count)]
    return np.array(corners, np.int64).reshape(-1, 2)


def write_trident(path: Path, features: NDArray[Any], *, side0: int = 512, **attributes: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=features).attrs.update(
            {"name": path.stem, "encoder": attributes.pop("encoder", "uni_v1"), "savetodir": str(path.parent)}
        )
        file.create_dataset("coords", data=grid(len(features), side0), chunks=(1, 2), maxshape=(None, 2)).attrs.update(
            {
                "patch_size": 256, "patch_size_level0": side0, "level0_magnification": 40, "target_magnification": 20,
                "overlap": 0, "name": path.stem, "savetodir": str(path.parent), "level0_width": 90000,
                "level0_height": 80000,
            } | attributes
        )  # fmt: skip


def write_clam(path: Path, features: NDArray[Any], *, with_attributes: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=features)
        coords = file.create_dataset("coords", data=grid(len(features), 512))
        if with_attributes:
            coords.attrs.update(
                {
                    "patch_size": 256, "patch_level": 1, "downsample": np.array([2.0, 2.0]), "name": path.stem,
                    "downsampled_level_dim": np.array([45000, 40000]), "level_dim": np.array([45000, 40000]),
                    "save_path": str(path.parent),
                }
            )  # fmt: skip


def write_stamp(path: Path, features: NDArray[Any], *, tile_um: float = 256.0, extractor: str = "ctranspath") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["coords"] = grid(len(features), 1) * tile_um
        file["feats"] = features.astype(np.float16)
        file.attrs.update(
            {
                "stamp_version": "2.5.0", "extractor": extractor, "unit": "um", "tile_size_um": tile_um,
                "tile_size_px": 224, "code_hash": "0" * 16, "feat_type": "tile",
            }
        )  # fmt: skip
