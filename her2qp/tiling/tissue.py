"""Where a slide holds tissue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from her2qp.slides import Slide

OVERVIEW_MPP = 8.0
"""Pixel size in µm at which tissue is looked for: a pixel is about a nucleus."""

MAX_OVERVIEW_PX = 8192
"""Longest side of the overview, whatever the slide's size."""

GLASS_SATURATION = 0.05
"""Saturation (0 to 1) below which nothing is tissue. Empty glass of H&E slides stays below 0.04."""

MAX_THRESHOLD = 0.12
"""Saturation above which everything is tissue. Otsu alone would cut pale tumour off where the rest stains strongly."""

CLOSING_UM = 16.0
"""Radius of the gaps in tissue that are closed: vacuoles, cracks, small lumina."""


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """Tissue of a slide at low resolution.

    Parameters
    ----------
    mask
        Shape (h, w), bool; covers the whole slide.
    slide_size
        Width and height of level 0.
    """

    mask: NDArray[np.bool_]
    slide_size: tuple[int, int]

    @classmethod
    def from_slide(cls, slide: Slide, slide_mpp: float) -> Self:
        """Find the tissue of a slide: Otsu's threshold on saturation within bounds, then closing.

        Parameters
        ----------
        slide
            The slide.
        slide_mpp
            Its pixel size at level 0 in µm.

        Raises
        ------
        SlideFormatError
            A part of the file is damaged.
        """
        side = max(slide.size) * slide_mpp / OVERVIEW_MPP
        overview = slide.overview(max(1, min(MAX_OVERVIEW_PX, math.ceil(side))))
        pixel_um = max(slide.size) * slide_mpp / max(overview.shape[:2])
        return cls(tissue_pixels(overview, pixel_um), slide.size)

    def fraction(self, bounds: NDArray[np.float64]) -> NDArray[np.float32]:
        """Share of each rectangle that is tissue.

        Exact for the mask, also where a rectangle cuts its pixels; what lies outside the slide is no tissue.

        Parameters
        ----------
        bounds
            x0, y0, x1, y1 in level-0 pixels, shape (n, 4).

        Returns
        -------
        ndarray of float32
            Shape (n,).
        """
        height, width = self.mask.shape
        integral = np.zeros((height + 1, width + 1))
        np.cumsum(np.cumsum(self.mask, axis=0, dtype=np.float64), axis=1, out=integral[1:, 1:])
        scale = np.array([width, height] * 2) / (*self.slide_size, *self.slide_size)
        x0, y0, x1, y1 = (np.asarray(bounds, np.float64) * scale).T
        tissue = _at(integral, x1, y1) - _at(integral, x0, y1) - _at(integral, x1, y0) + _at(integral, x0, y0)
        share = np.clip(tissue / ((x1 - x0) * (y1 - y0)), 0, 1)
        return np.asarray(share, np.float32)


def tissue_pixels(overview: NDArray[np.uint8], pixel_um: float) -> NDArray[np.bool_]:
    """Which pixels of an overview are tissue.

    Parameters
    ----------
    overview
        RGB, shape (h, w, 3).
    pixel_um
        Its pixel size in µm.

    Returns
    -------
    ndarray of bool
        Shape (h, w).
    """
    from scipy import ndimage

    saturated = saturation(overview)
    radius = round(CLOSING_UM / pixel_um)
    mask = saturated > saturation_threshold(saturated)
    if radius < 1:
        return mask
    # Closing takes what lies outside the picture for glass: repeat the border, or tissue would shrink there.
    padded = np.pad(mask, radius, mode="edge")
    offset = np.arange(-radius, radius + 1)
    disk = offset**2 + offset[:, None] ** 2 <= radius**2
    closed = ndimage.binary_closing(np.pad(padded, radius), disk)
    return np.asarray(closed[2 * radius : -2 * radius, 2 * radius : -2 * radius] | mask)


def saturation(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Saturation of the HSV model, 0 to 1, shape (h, w); black has none."""
    highest, lowest = pixels.max(axis=2).astype(np.float32), pixels.min(axis=2)
    return np.asarray((highest - lowest) / np.maximum(highest, 1), np.float32)


def saturation_threshold(saturated: NDArray[np.float32]) -> float:
    """Saturation above which a pixel is tissue.

    Otsu's threshold (IEEE Trans. Syst. Man Cybern. 9, 62-66, 1979), with two guards, because it halves whatever it is
    given: a picture full of tissue, of which it calls the paler half background, has no glass to be told apart; and
    the threshold stays between :data:`GLASS_SATURATION` and :data:`MAX_THRESHOLD`.

    Parameters
    ----------
    saturated
        Saturation, 0 to 1, any shape.
    """
    counts, edges = np.histogram(np.asarray(saturated, np.float64), bins=256, range=(0, 1))
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = below[-1] + counts[-1] - below
    sums = np.cumsum(counts * centers)
    mean_below = sums[:-1] / np.maximum(below, 1)
    mean_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    best = int(np.argmax(below * above.astype(np.float64) * (mean_above - mean_below) ** 2))
    if mean_below[best] > GLASS_SATURATION:
        return GLASS_SATURATION
    return float(np.clip(edges[best + 1], GLASS_SATURATION, MAX_THRESHOLD))


def _at(integral: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """An integral image at fractional positions; within a pixel it is bilinear, so this is exact."""
    rows, columns = integral.shape[0] - 1, integral.shape[1] - 1
    x, y = np.clip(x, 0, columns), np.clip(y, 0, rows)
    column, row = np.minimum(x.astype(np.intp), columns - 1), np.minimum(y.astype(np.intp), rows - 1)
    right, down = x - column, y - row
    top = integral[row, column] * (1 - right) + integral[row, column + 1] * right
    bottom = integral[row + 1, column] * (1 - right) + integral[row + 1, column + 1] * right
    return np.asarray(top * (1 - down) + bottom * down)
