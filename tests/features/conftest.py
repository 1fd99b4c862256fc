"""A small real slide, its tiles, and a folder for the remembered runtimes that all tests of this room share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from her2qp.cachefolder import CACHE_VARIABLE
from her2qp.features import Extractor, efficientnet, load_extractor
from her2qp.features.network import TileNetwork
from her2qp.features.runtimes.base import Job
from her2qp.tiling import Tiles


def _tiles_in_rows(columns: int, rows: int, side: float = 256.0) -> Tiles:
    row, column = np.mgrid[:rows, :columns].reshape(2, -1)
    x, y, n = column * side, row * side, columns * rows
    shares = np.ones(n, dtype=np.float32)
    bounds = np.stack([x, y, x + side, y + side], axis=1)
    return Tiles(bounds, np.zeros(n, dtype=np.int32), shares, shares, np.stack([column, row], axis=1).astype(np.int32))


@pytest.fixture(scope="session")
def tiles_in_rows() -> Callable[..., Tiles]:
    """Makes tiles that touch, row by row from the slide's corner: (columns, rows, side in level-0 pixels)."""
    return _tiles_in_rows


@pytest.fixture(scope="session", autouse=True)
def runtime_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keeps the tests away from the user's cache, and lets them share one trial of the runtimes."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session")
def eager() -> Extractor:
    return load_extractor("efficientnet-lite0", runtime="eager", batch_size=4)


@pytest.fixture(scope="session")
def small_job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The default network in batches of two."""
    network = TileNetwork(efficientnet.INFO, efficientnet.load_backbone()).eval()
    return Job(efficientnet.INFO, lambda: network, batch_size=2, threads=2, folder=tmp_path_factory.mktemp("runtimes"))


@pytest.fixture
def slide_file(tmp_path: Path) -> Path:
    """A tiled TIFF of 1024 x 768 pixels: coloured squares of 16 pixels."""
    random = np.random.default_rng(7)
    coarse = random.integers(60, 250, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / "slide.tiff"
    tifffile.imwrite(path, coarse.repeat(16, axis=0).repeat(16, axis=1), tile=(256, 256), photometric="rgb")
    return path
