"""Write a pyramidal TIFF that readers take for an Aperio slide, block by block in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TILE = 256
BLOCK = 4 * TILE
"""Side of the blocks that are asked for; a band of blocks is held in memory."""

LEVEL_FACTOR = 4
"""Downsample from one level of the pyramid to the next."""

SMALLEST_LEVEL = 512
"""No further level is made once the longer side of one is at most this, in pixels."""

THUMBNAIL_PX = 1024
JPEG_QUALITY = 80

PaintBlock = Callable[[int, int, int, int], NDArray[np.uint8]]


def write_svs(path: Path, size: tuple[int, int], mpp: float, paint: PaintBlock, *, note: str) -> None:
    """Write an Aperio-style SVS.

    Parameters
    ----------
    path
        Overwritten if it exists.
    size
        Width and height in pixels.
    mpp
        Pixel size in µm.
    paint
        Called with x, y, width, height of each block, row by row; gives RGB of shape (height, width, 3).
    note
        What the picture is; goes into the image description, without ``|``.

    Raises
    ------
    OSError
        The file cannot be written.

    Notes
    -----
    Pages in Aperio's order: level 0 (tiled), thumbnail (stripped), then the further levels (tiled).
    """
    import tifffile

    width, height = size
    jpeg = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": JPEG_QUALITY}, "metadata": None}
    header = "Aperio Image Library v0.0.0 (artificial)\r\n"
    reduced = np.empty((-(-height // LEVEL_FACTOR), -(-width // LEVEL_FACTOR), 3), np.uint8)
    name = path.stem.encode("ascii", "replace").decode().replace("|", "?")  # TIFF text is ASCII
    properties = f"AppMag = {10.0 / mpp:g}|MPP = {mpp:.4f}|Filename = {name}|Title = {note}"
    geometry = f"{width}x{height} [0,0 {width}x{height}] ({TILE}x{TILE}) JPEG/RGB Q={JPEG_QUALITY}"
    with tifffile.TiffWriter(path, bigtiff=width * height > 2**31) as tiff:
        tiff.write(
            _base_tiles(size, paint, reduced),
            shape=(height, width, 3),
            dtype=np.uint8,
            tile=(TILE, TILE),
            description=f"{header}{geometry}|{properties}",
            maxworkers=1,
            **jpeg,
        )
        thumbnail = Image.fromarray(reduced)
        thumbnail.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
        description = f"{header}{width}x{height} -> {thumbnail.width}x{thumbnail.height} - |{properties}"
        tiff.write(np.asarray(thumbnail), description=description, rowsperstrip=16, **jpeg)
        level = reduced
        while True:
            description = f"{header}{geometry} -> {level.shape[1]}x{level.shape[0]} JPEG/RGB Q={JPEG_QUALITY}"
            tiff.write(level, tile=(TILE, TILE), description=description, maxworkers=1, **jpeg)
            if max(level.shape) <= SMALLEST_LEVEL:
                return
            level = _shrunk(level)


def _base_tiles(size: tuple[int, int], paint: PaintBlock, reduced: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Tiles of level 0 row by row; fills `reduced` (the next level) on the way."""
    width, height = size
    for top in range(0, height, BLOCK):
        rows = min(BLOCK, height - top)
        padded = -(-rows // TILE) * TILE, -(-width // TILE) * TILE
        band = np.zeros((*padded, 3), np.uint8)
        for left in range(0, width, BLOCK):
            columns = min(BLOCK, width - left)
            block = paint(left, top, columns, rows)
            band[:rows, left : left + columns] = block
            small = _shrunk(block)
            y, x = top // LEVEL_FACTOR, left // LEVEL_FACTOR
            reduced[y : y + small.shape[0], x : x + small.shape[1]] = small
        for y in range(0, padded[0], TILE):
            for x in range(0, padded[1], TILE):
                yield band[y : y + TILE, x : x + TILE]


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture at a quarter of its width and height, each pixel the mean of those it covers."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).reduce(LEVEL_FACTOR))
