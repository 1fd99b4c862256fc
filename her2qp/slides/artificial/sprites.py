"""Small pre-rendered pictures of nuclei and cell bodies, stamped many times.

A sprite is a square of haematoxylin (or cytoplasm) density, uint8, zero outside the shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from her2qp.slides.artificial.phenotype import Phenotype

Sprite = NDArray[np.uint8]

_HARMONICS = np.arange(2, 7)


def _polar(side: int, angle: float, aspect: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radius (of an ellipse with equal area) and polar angle of each pixel of a square around its centre."""
    axis = np.arange(side) - (side - 1) / 2
    x, y = np.meshgrid(axis, axis)
    along = (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(aspect)
    across = (-x * np.sin(angle) + y * np.cos(angle)) * np.sqrt(aspect)
    return np.hypot(along, across), np.arctan2(across, along)


def _outline(rng: np.random.Generator, theta: NDArray[np.float64], irregularity: float) -> NDArray[np.float64]:
    """Relative radius of an irregular outline at each polar angle, mean 1."""
    amplitude = rng.normal(0.0, irregularity, len(_HARMONICS)) / np.sqrt(_HARMONICS - 1)
    phase = rng.uniform(0.0, 2 * np.pi, len(_HARMONICS))
    waves = np.cos(theta[..., None] * _HARMONICS + phase)
    return np.asarray(np.clip(1.0 + waves @ amplitude, 0.4, 1.6))


def draw_nucleus(
    rng: np.random.Generator,
    *,
    diameter: float,
    aspect: float,
    angle: float,
    irregularity: float,
    chromatin: float,
    clumping: float,
    nucleoli: int = 0,
) -> Sprite:
    """One nucleus: an irregular ellipse with a dark membrane, clumped chromatin and nucleoli.

    Parameters
    ----------
    diameter
        Of the circle with the same area, in pixels.
    aspect, angle
        Long over short axis, and direction of the long axis in radians.
    irregularity, chromatin, clumping
        As in `Phenotype`.
    nucleoli
        Number of prominent nucleoli.
    """
    radius = diameter / 2
    side = 2 * int(np.ceil(radius * np.sqrt(aspect) * (1 + 3 * irregularity))) + 5
    rho, theta = _polar(side, angle, aspect)
    depth = radius * _outline(rng, theta, irregularity) - rho
    inside = np.clip(depth + 0.5, 0.0, 1.0)
    scale = max(radius / 16.0, 0.25)
    texture = ndimage.gaussian_filter(rng.standard_normal((side, side)), 1.5 * scale)
    texture /= texture.std() + 1e-6
    density = 1.0 + clumping * texture + 0.4 * np.exp(-np.maximum(depth, 0.0) / (1.3 * scale))
    for _ in range(nucleoli):
        x, y = (side - 1) / 2 + rng.normal(0.0, 0.28 * radius, 2)
        rows, columns = np.ogrid[:side, :side]
        density += 0.8 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (0.13 * radius) ** 2 + 0.5))
    return np.asarray((255 * chromatin * density * inside).clip(0, 250), dtype=np.uint8)


def tumour_nuclei(rng: np.random.Generator, kind: Phenotype, px_per_um: float, count: int) -> list[Sprite]:
    """`count` nuclei drawn from a phenotype."""
    sprites = []
    for _ in range(count):
        mitosis = rng.random() < kind.mitosis_share
        diameter = kind.nucleus_diameter * np.exp(rng.normal(0.0, kind.nucleus_diameter_cv))
        sprites.append(
            draw_nucleus(
                rng,
                diameter=float(np.clip(diameter, 4.0, 20.0)) * px_per_um * (0.75 if mitosis else 1.0),
                aspect=2.2 if mitosis else 1.0 + rng.gamma(2.0, 0.15),
                angle=rng.uniform(0.0, np.pi),
                irregularity=0.2 if mitosis else kind.irregularity,
                chromatin=0.95 if mitosis else float(np.clip(kind.chromatin + rng.normal(0.0, 0.055), 0.2, 0.8)),
                clumping=kind.clumping,
                nucleoli=0 if mitosis else int(rng.random() < kind.nucleolus_share) * int(rng.integers(1, 3)),
            )
        )
    return sprites


def spindle_nuclei(rng: np.random.Generator, px_per_um: float, angles: int, variants: int) -> list[Sprite]:
    """Fibroblast nuclei: `variants` for each of `angles` directions over half a turn, direction by direction."""
    return [
        draw_nucleus(
            rng,
            diameter=rng.uniform(4.2, 5.6) * px_per_um,
            aspect=rng.uniform(2.8, 5.5),
            angle=np.pi * direction / angles + rng.normal(0.0, 0.12),
            irregularity=0.04,
            chromatin=rng.uniform(0.42, 0.6),
            clumping=0.14,
        )
        for direction in range(angles)
        for _ in range(variants)
    ]


def lymphocyte_nuclei(rng: np.random.Generator, px_per_um: float, count: int) -> list[Sprite]:
    """Small, round, dark nuclei."""
    return [
        draw_nucleus(
            rng,
            diameter=rng.uniform(5.2, 6.8) * px_per_um,
            aspect=rng.uniform(1.0, 1.15),
            angle=0.0,
            irregularity=0.03,
            chromatin=rng.uniform(0.58, 0.72),
            clumping=0.16,
        )
        for _ in range(count)
    ]


def debris(rng: np.random.Generator, px_per_um: float, count: int) -> list[Sprite]:
    """Fragments of dead nuclei."""
    return [
        draw_nucleus(
            rng,
            diameter=rng.uniform(1.2, 3.8) * px_per_um,
            aspect=rng.uniform(1.0, 1.6),
            angle=rng.uniform(0.0, np.pi),
            irregularity=0.12,
            chromatin=rng.uniform(0.4, 0.9),
            clumping=0.05,
        )
        for _ in range(count)
    ]


def cell_bodies(rng: np.random.Generator, spacing: float, px_per_um: float, count: int) -> list[Sprite]:
    """Cell bodies as domes; where domes meet under a maximum, the valley between them is the cell border."""
    radius = 0.95 * spacing * px_per_um
    side = 2 * int(np.ceil(radius)) + 1
    sprites = []
    for _ in range(count):
        rho, _ = _polar(side, rng.uniform(0.0, np.pi), rng.uniform(1.0, 1.25))
        dome = np.clip(1.0 - (rho / radius) ** 2, 0.0, 1.0) * rng.uniform(0.85, 1.0)
        sprites.append(np.asarray(255 * dome, dtype=np.uint8))
    return sprites
