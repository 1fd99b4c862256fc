"""A slide: any part of it at any scale, and thousands of tiles at once."""

from __future__ import annotations

import hashlib
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import SlideMismatchError
from her2qp.machine import processors
from her2qp.slides.formats import OpenedFile, open_file
from her2qp.slides.identity import slide_identity
from her2qp.slides.levels import ScaledLevel
from her2qp.slides.resample import Box, resample, source_box
from her2qp.slides.view import Frame, SlideView

MAX_SOURCE_PIXELS = 1 << 24
"""Pixels of a level that are read at once; larger regions are put together from parts."""

_WHOLE = SlideView()


def open_slide(path: str | os.PathLike[str], view: SlideView = _WHOLE) -> Slide:
    """Open a slide or a plain picture.

    Parameters
    ----------
    path
        A file that tiffslide reads (SVS, TIFF, SCN, ...), a PNG, JPEG or BMP picture, or with the ``openslide`` extra
        whatever OpenSlide reads.
    view
        What of it to show and how; all coordinates are then those of the view.

    Raises
    ------
    SlideNotFoundError
        There is no such file.
    SlideFormatError
        It cannot be read: unknown format, damaged, truncated, not 8-bit colour, no such series.
    SlideMismatchError
        It has not the size that the view expects.
    """
    opened = open_file(Path(path), series=view.series)
    try:
        return Slide(Path(path), opened, view)
    except SlideMismatchError as error:
        opened.close()
        error.where = str(path)
        raise


def check_size(slide: Slide, expected: tuple[int, int] | None, *, where: str) -> None:
    """Make sure that a slide is the one that a project describes.

    Parameters
    ----------
    slide
        The slide as it is.
    expected
        Width and height at full resolution that the project tells; None if it does not.
    where
        Name of the image, for the error message.

    Raises
    ------
    SlideMismatchError
        The sizes differ.
    """
    _check_size(slide.size, expected, slide.path, where=where)


def _check_size(found: tuple[int, int], expected: tuple[int, int] | None, path: Path, *, where: str) -> None:
    if expected is not None and tuple(expected) != found:
        raise SlideMismatchError(
            f"the slide file has {found[0]} x {found[1]} pixels, the QuPath project says {expected[0]} x {expected[1]}",
            where=where,
            remedy=f"Check that {path} is the slide that was annotated.",
        )


class Slide:
    """An open slide. Made by :func:`open_slide`; a context manager; readable from several threads.

    Attributes
    ----------
    path : Path
        The file.
    size : tuple of int
        Width and height at level 0 of what is shown.
    mpp : tuple of float or None
        Pixel width and height in µm as the file says, unchecked: see :func:`~her2qp.slides.resolve_mpp`.
    level_sizes : tuple of tuple of int
        Width and height of each level of the file.
    level_downsamples : tuple of float
        How much smaller than level 0 each level is.
    reader : str
        What reads the pixels: ``tiff``, ``tiffslide``, ``pillow`` or ``openslide``.
    """

    def __init__(self, path: Path, opened: OpenedFile, view: SlideView = _WHOLE) -> None:
        full = opened.levels[0].size
        _check_size(full, view.file_size, path, where=str(path))
        self._frame = Frame.of(full, view.steps)
        self._part = None if self._frame == Frame.of(full, ()) and not view.series else (view.series, self._frame)
        self.path = path
        self.mpp = None if opened.mpp is None else self._frame.turned(opened.mpp)
        self.reader = opened.reader
        self._opened = opened
        self._levels = [ScaledLevel.of(level, full, self._frame.region) for level in opened.levels]
        self._pool: ThreadPoolExecutor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height at level 0 of what is shown."""
        return self._frame.size

    @property
    def level_sizes(self) -> tuple[tuple[int, int], ...]:
        """Width and height of each level of the file, full resolution first."""
        return tuple(scaled.level.size for scaled in self._levels)

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        """How much smaller than level 0 each level is: the mean of across and down."""
        return tuple((scaled.across + scaled.down) / 2 for scaled in self._levels)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        self._opened.close()

    def identity(self) -> str:
        """What tells the slide, and what is shown of it, from every other, as 64 hex digits.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        file = slide_identity(self.path)
        return file if self._part is None else hashlib.sha256(repr((file, self._part)).encode()).hexdigest()

    def read_region(
        self, x: float, y: float, width: float, height: float, out_size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Read a rectangle at the scale that makes it `out_size`, with anti-aliasing and sub-pixel positions.

        Parameters
        ----------
        x, y, width, height
            The rectangle in level-0 pixels; it may reach beyond the slide.
        out_size
            Width and height of the result.

        Returns
        -------
        ndarray of uint8
            RGB, shape (out_size[1], out_size[0], 3); white outside the slide.

        Raises
        ------
        SlideFormatError
            A part of the file is damaged.
        """
        in_file = self._frame.in_file(x, y, width, height)
        return np.ascontiguousarray(self._frame.show(self._read(*in_file, self._frame.turned(out_size))))

    def _read(self, x: float, y: float, width: float, height: float, out_size: tuple[int, int]) -> NDArray[np.uint8]:
        """Read a rectangle of the file, white outside of what is shown."""
        scaled = self._level_for(min(width / out_size[0], height / out_size[1]))
        across, down = scaled.across, scaled.down
        box = Box(x / across, y / down, (x + width) / across, (y + height) / down)
        pixels = np.empty((out_size[1], out_size[0], 3), np.uint8)
        step_x, step_y = _part_size(box, out_size)
        scale_x, scale_y = box.scale(out_size)
        for top in range(0, out_size[1], step_y):
            for left in range(0, out_size[0], step_x):
                right, bottom = min(left + step_x, out_size[0]), min(top + step_y, out_size[1])
                part = Box(
                    box.x0 + left * scale_x, box.y0 + top * scale_y, box.x0 + right * scale_x, box.y0 + bottom * scale_y
                ).snapped()
                part_size = (right - left, bottom - top)
                needed = source_box(part, part_size)
                pixels[top:bottom, left:right] = resample(scaled.read(*needed), (needed[0], needed[1]), part, part_size)
        return pixels

    def read_tiles(self, bounds: NDArray[np.float64], tile_px: int) -> NDArray[np.uint8]:
        """Read many tiles, in as many threads as there are processors.

        A tile's pixels do not depend on the tiles that are read with it. Tiles that follow each other row by row share
        most of what is decoded.

        Parameters
        ----------
        bounds
            x0, y0, x1, y1 in level-0 pixels, shape (n, 4).
        tile_px
            Side of the result.

        Returns
        -------
        ndarray of uint8
            RGB, shape (n, tile_px, tile_px, 3); white outside the slide.

        Raises
        ------
        SlideFormatError
            A part of the file is damaged.
        """
        tiles = np.empty((len(bounds), tile_px, tile_px, 3), np.uint8)

        def read(row: int) -> None:
            x0, y0, x1, y1 = map(float, bounds[row])
            tiles[row] = self.read_region(x0, y0, x1 - x0, y1 - y0, (tile_px, tile_px))

        if self._pool is None:
            self._pool = ThreadPoolExecutor(processors(), thread_name_prefix="her2qp-slide")
        for _ in self._pool.map(read, range(len(bounds))):
            pass
        return tiles

    def overview(self, max_px: int) -> NDArray[np.uint8]:
        """The whole slide, its longer side `max_px` (or its own size, if that is smaller), shape (h, w, 3)."""
        width, height = self.size
        scale = min(1.0, max_px / max(width, height))
        return self.read_region(0, 0, width, height, (max(1, round(width * scale)), max(1, round(height * scale))))

    def _level_for(self, downsample: float) -> ScaledLevel:
        """The smallest level that is not coarser than wanted."""
        fine_enough = [scaled for scaled in self._levels if max(scaled.across, scaled.down) <= downsample * (1 + 1e-6)]
        return max(fine_enough, key=lambda scaled: scaled.across, default=self._levels[0])


def _part_size(box: Box, out_size: tuple[int, int]) -> tuple[int, int]:
    """Output pixels, across and down, to make at once, so that memory stays bounded."""
    scale_x, scale_y = box.scale(out_size)
    if out_size[0] * scale_x * out_size[1] * scale_y <= MAX_SOURCE_PIXELS:
        return out_size
    # Each part also needs about one output pixel around it: see source_box.
    side = math.sqrt(MAX_SOURCE_PIXELS)
    return max(1, int(side / scale_x) - 2), max(1, int(side / scale_y) - 2)
