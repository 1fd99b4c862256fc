"""The grid of tiles: fixed to the slide's corner, so that every run on a slide sees the same tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGrid:
    """Square tiles in rows and columns, the first at the slide's upper left corner.

    Parameters
    ----------
    tile_px
        Side of a tile in pixels as the network sees it.
    mpp
        Pixel size of such a tile in µm.
    slide_mpp
        Pixel size of the slide at level 0 in µm.
    stride_px
        Distance of neighbouring tiles in pixels as the network sees them; None: `tile_px`, tiles side by side.

    Raises
    ------
    ValueError
        One of them is not positive.
    """

    tile_px: int = 256
    mpp: float
    slide_mpp: float
    stride_px: int | None = None

    def __post_init__(self) -> None:
        for name in ("tile_px", "mpp", "slide_mpp", "stride_px"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, not {value}")

    @property
    def size0(self) -> float:
        """Side of a tile in level-0 pixels; not rounded."""
        return self.tile_px * self.mpp / self.slide_mpp

    @property
    def stride0(self) -> float:
        """Distance of neighbouring tiles in level-0 pixels; not rounded."""
        return (self.stride_px or self.tile_px) * self.mpp / self.slide_mpp

    @property
    def overlaps(self) -> bool:
        """Whether neighbouring tiles share pixels."""
        return self.stride_px is not None and self.stride_px < self.tile_px

    def span(self, low: float, high: float, length: float) -> range:
        """Columns (or rows) whose tiles touch the open interval from `low` to `high` and begin on the slide.

        Parameters
        ----------
        low, high
            Level-0 pixels.
        length
            Width (or height) of the slide. The last tile may reach beyond it.
        """
        first = max(0, math.floor((low - self.size0) / self.stride0) + 1)
        last = min(math.ceil(high / self.stride0), math.ceil(length / self.stride0))
        return range(first, max(first, last))

    def bounds(self, cells: NDArray[np.int32]) -> NDArray[np.float64]:
        """Tiles in level-0 pixels.

        Parameters
        ----------
        cells
            Column and row, shape (n, 2).

        Returns
        -------
        ndarray of float64
            x0, y0, x1, y1; shape (n, 4).
        """
        corner = cells * self.stride0
        return np.concatenate([corner, corner + self.size0], axis=1)
