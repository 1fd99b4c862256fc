"""Anti-aliased resampling of a box of pixels, at exact fractional positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ALIGNED = 1e-3
"""Pixels: positions closer to whole ones than this are whole ones. Far below what can be seen, far above rounding."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the pixels of one level; fractional sides, which may lie outside the level."""

    x0: float
    y0: float
    x1: float
    y1: float

    def snapped(self) -> Box:
        """The box with sides that are whole up to rounding made whole."""
        sides = (self.x0, self.y0, self.x1, self.y1)
        return Box(*(float(round(side)) if abs(side - round(side)) < ALIGNED else side for side in sides))

    def scale(self, out_size: tuple[int, int]) -> tuple[float, float]:
        """Pixels of the level in one output pixel, across and down."""
        return (self.x1 - self.x0) / out_size[0], (self.y1 - self.y0) / out_size[1]


def source_box(box: Box, out_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole pixels that :func:`resample` needs for `box`: x0, y0, x1, y1.

    It includes the filter's support beyond the box, so that a tile equals the same place in a resampling of the whole
    slide.
    """
    if _whole_factors(box, out_size) is not None:
        return int(box.x0), int(box.y0), int(box.x1), int(box.y1)
    margin_x, margin_y = (math.ceil(max(scale, 2.0)) for scale in box.scale(out_size))
    return (
        math.floor(box.x0) - margin_x,
        math.floor(box.y0) - margin_y,
        math.ceil(box.x1) + margin_x,
        math.ceil(box.y1) + margin_y,
    )


def resample(
    pixels: NDArray[np.uint8], origin: tuple[int, int], box: Box, out_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Resample `box` to `out_size`.

    Whole-number reductions on whole pixels are exact area averages. Other reductions use Pillow's Hamming filter, whose
    kernel widens with the scale and is nearest to the area average without the jumps that a box filter has at
    fractional scales. Enlargements are bicubic.

    Parameters
    ----------
    pixels
        The part of the level that :func:`source_box` asks for, shape (h, w, 3).
    origin
        Position of its first pixel in the level, x and y.
    box
        What to resample, in pixels of the level.
    out_size
        Width and height of the result.

    Returns
    -------
    ndarray of uint8
        Shape (out_size[1], out_size[0], 3).
    """
    factors = _whole_factors(box, out_size)
    if factors == (1, 1):
        return pixels
    image = Image.fromarray(pixels)
    if factors is not None:
        return np.asarray(image.reduce(factors))
    x, y = origin
    reduces = max(box.scale(out_size)) > 1
    return np.asarray(
        image.resize(
            out_size,
            Image.Resampling.HAMMING if reduces else Image.Resampling.BICUBIC,
            box=(box.x0 - x, box.y0 - y, box.x1 - x, box.y1 - y),
        )
    )


def _whole_factors(box: Box, out_size: tuple[int, int]) -> tuple[int, int] | None:
    """The reduction as whole numbers across and down, if the box lies on whole pixels and it is one."""
    if not all(side.is_integer() for side in (box.x0, box.y0, box.x1, box.y1)):
        return None
    across, down = box.scale(out_size)
    if across.is_integer() and down.is_integer() and across >= 1 and down >= 1:
        return int(across), int(down)
    return None
