"""Colour of stained tissue: Beer-Lambert mixing of haematoxylin and eosin, as a look-up table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEMATOXYLIN = (0.66, 0.68, 0.32)
"""Optical density of haematoxylin per channel, a mean of published Aperio slides, before a slide's own variation."""

EOSIN = (0.18, 0.88, 0.40)
"""Optical density of eosin per channel."""

STRONGEST_HEMATOXYLIN = 1.45
STRONGEST_EOSIN = 0.95


@dataclass(frozen=True, slots=True)
class Stains:
    """The colours of one slide.

    Parameters
    ----------
    table
        Packed RGB of each pair of densities, shape (65536,), uint32, red in the lowest byte; the row is
        ``haematoxylin << 8 | eosin``.
    """

    table: NDArray[np.uint32]

    @classmethod
    def random(cls, rng: np.random.Generator) -> Stains:
        """Stains with a small variation of hue, strength and background, as between laboratories and days."""
        vectors = np.array([HEMATOXYLIN, EOSIN]) + rng.normal(0.0, 0.02, (2, 3))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        strength = np.array([STRONGEST_HEMATOXYLIN, STRONGEST_EOSIN]) * rng.uniform(0.9, 1.1, 2)
        background = rng.uniform(238.0, 246.0) + rng.normal(0.0, 0.8, 3)
        level = np.arange(256) / 255.0
        density = level[:, None, None] * strength[0] * vectors[0] + level[None, :, None] * strength[1] * vectors[1]
        rgb = np.rint(background * 10.0**-density).clip(0, 255).astype(np.uint32)
        return cls((rgb[..., 0] | rgb[..., 1] << 8 | rgb[..., 2] << 16).ravel())

    @property
    def background(self) -> NDArray[np.uint8]:
        """Colour of the empty glass, shape (3,)."""
        return self.table[:1].view(np.uint8)[:3]

    def color(self, hematoxylin: NDArray[np.uint8], eosin: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """RGB of two density planes of shape (h, w): shape (h, w, 3), uint8."""
        row = hematoxylin.astype(np.uint16) << 8 | eosin
        packed = np.ascontiguousarray(self.table[row].astype("<u4", copy=False))
        return packed.view(np.uint8).reshape(*row.shape, 4)[..., :3]
