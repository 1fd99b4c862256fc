"""Tiles per second: her2qp's reader against plain ``tiffslide.read_region`` with Pillow's area reduction.

Usage: ``python benchmarks/slides.py [SLIDE] [--mpp TARGET] [--slide-mpp MPP] [--tiles N]``

Without a slide, an Aperio-like pyramid of noise and blobs with JPEG tiles is written to a temporary folder.
Both readers see the same tiles in one run, alternating, and the results are compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import tiffslide
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from her2qp.slides import Slide, open_slide
from her2qp.tiling import TileGrid

TILE_PX = 256
BATCH = 64


def write_slide(path: Path, side: int = 8192) -> None:
    """Write a level of 0.25 µm/px, JPEG quality 70, chroma 2x2, tiles of 256, as scanners do."""
    rng = np.random.default_rng(0)
    coarse = ndimage.zoom(rng.uniform(size=(side // 16, side // 16)), 16, order=1)
    pink, purple = np.array([235, 180, 215]), np.array([110, 70, 150])
    pixels = np.where(coarse[..., None] > 0.55, purple, pink) + rng.normal(0, 10, (side, side, 1))
    description = f"Aperio Image Library v12.0\n{side}x{side} (256x256) JPEG/RGB Q=70|AppMag = 40|MPP = 0.25"
    tifffile.imwrite(
        path,
        np.clip(pixels, 0, 255).astype(np.uint8),
        tile=(256, 256),
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": 70},
        subsampling=(2, 2),
        description=description,
        metadata=None,
    )


def read_plainly(slide: tiffslide.TiffSlide, bounds: NDArray[np.float64]) -> NDArray[np.uint8]:
    """What a user writes: a region of level 0 for each tile, reduced by Pillow."""
    tiles = []
    for x0, y0, x1, y1 in bounds:
        region = slide.read_region((round(x0), round(y0)), 0, (round(x1 - x0), round(y1 - y0)))
        tiles.append(np.asarray(region.convert("RGB").resize((TILE_PX, TILE_PX), Image.Resampling.BOX)))
    return np.stack(tiles)


def tiles_per_second(read: Callable[[], NDArray[np.uint8]]) -> tuple[float, NDArray[np.uint8]]:
    start = time.perf_counter()
    tiles = read()
    return len(tiles) / (time.perf_counter() - start), tiles


def all_bounds(slide: Slide, mpp: float, slide_mpp: float) -> NDArray[np.float64]:
    grid = TileGrid(tile_px=TILE_PX, mpp=mpp, slide_mpp=slide_mpp)
    columns, rows = (np.arange(int(side // grid.size0)) for side in slide.size)
    column, row = np.meshgrid(columns, rows)
    return grid.bounds(np.stack([column.ravel(), row.ravel()], axis=1).astype(np.int32))


def read_in_batches(path: Path, bounds: NDArray[np.float64]) -> NDArray[np.uint8]:
    with open_slide(path) as slide:
        return np.concatenate(
            [slide.read_tiles(bounds[at : at + BATCH], TILE_PX) for at in range(0, len(bounds), BATCH)]
        )


def compare(path: Path, mpp: float, slide_mpp: float, count: int) -> None:
    with open_slide(path) as slide:
        bounds = all_bounds(slide, mpp, slide_mpp)[:count]
    ours, theirs = [], []
    for _ in range(3):
        speed, tiles = tiles_per_second(lambda: read_in_batches(path, bounds))
        ours.append(speed)
        with tiffslide.TiffSlide(path) as plain:
            speed, expected = tiles_per_second(lambda plain=plain: read_plainly(plain, bounds))  # type: ignore[misc]
        theirs.append(speed)
    difference = np.abs(tiles.astype(np.int16) - expected).mean()
    print(
        f"{slide_mpp:g} -> {mpp:g} µm/px, {len(bounds)} tiles: "
        f"her2qp {max(ours):.0f}/s, tiffslide {max(theirs):.0f}/s, ratio {max(ours) / max(theirs):.1f}, "
        f"mean difference {difference:.2f} grey levels"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("slide", type=Path, nargs="?")
    parser.add_argument("--mpp", type=float, default=0.5)
    parser.add_argument("--slide-mpp", type=float, nargs="+", default=[0.25, 0.2527])
    parser.add_argument("--tiles", type=int, default=256)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.slide or Path(folder, "slide.svs")
        if arguments.slide is None:
            write_slide(path)
        for slide_mpp in arguments.slide_mpp:
            compare(path, arguments.mpp, slide_mpp, arguments.tiles)


if __name__ == "__main__":
    main()
