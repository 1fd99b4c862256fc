"""Slide files written with tifffile, so that every encoding is read in every checkout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage


@pytest.fixture(scope="session")
def picture() -> NDArray[np.uint8]:
    """Smooth blobs of two colours with a little noise, 700 x 500: sizes that are no multiple of a tile."""
    rng = np.random.default_rng(0)
    blobs = ndimage.zoom(rng.uniform(size=(25, 35)), 20, order=1)
    pixels = np.where(blobs[..., None] > 0.5, [120, 80, 160], [235, 190, 220]) + rng.normal(0, 4, (500, 700, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.fixture
def write_tiff(tmp_path: Path, picture: NDArray[np.uint8]) -> Callable[..., Path]:
    """Writes `picture` as a TIFF of one level; keyword arguments are tifffile's."""

    def write(name: str = "slide.tif", pixels: NDArray[Any] = picture, **options: Any) -> Path:
        path = tmp_path / name
        tifffile.imwrite(path, pixels, **{"photometric": "rgb", "metadata": None, **options})
        return path

    return write


@pytest.fixture
def pyramid(tmp_path: Path, picture: NDArray[np.uint8]) -> Path:
    """An Aperio SVS at 0.25 µm/px with a thumbnail and a second level, cropped as scanners do, 4 times smaller."""
    path = tmp_path / "pyramid.svs"
    height, width = picture.shape[:2]
    level1 = np.asarray(Image.fromarray(picture).resize((width // 4, height // 4), Image.Resampling.BOX))
    tiles = {"tile": (128, 128), "photometric": "rgb", "compression": "deflate", "metadata": None}
    head = f"Aperio Image Library v12.0\r\n{width}x{height} (128x128)"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture, description=f"{head} Q=70|AppMag = 40|MPP = 0.25", **tiles)
        tiff.write(level1, description=f"{head} -> thumbnail", photometric="rgb", metadata=None, rowsperstrip=16)
        tiff.write(level1, description=f"{head} -> {width // 4}x{height // 4}", **tiles)
    return path
