"""Where the cells of an artificial slide lie, and which sprite each is painted with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Geometry

from her2qp.slides.artificial.layout import Layout, scatter
from her2qp.slides.artificial.phenotype import NEST_SPREAD, SEVERITY_RANGE, Phenotype, phenotype
from her2qp.slides.artificial.sprites import (
    Sprite,
    cell_bodies,
    debris,
    lymphocyte_nuclei,
    spindle_nuclei,
    tumour_nuclei,
)
from her2qp.slides.artificial.textures import Fibres

SEVERITY_STEP = 0.25
"""Nests whose severities lie this close share one set of sprites."""

SPRITES_PER_KIND = 48
SPINDLE_ANGLES = 16
SPINDLE_VARIANTS = 6
FIBROBLASTS_PER_MM2 = 1100.0
FOCI_PER_MM2 = 2.0
LYMPHOCYTES_PER_FOCUS = 60
DEBRIS_PER_MM2 = 7000.0


@dataclass(frozen=True, slots=True)
class Stamps:
    """Sprites and where they go.

    Parameters
    ----------
    sprites
        The pictures.
    places
        Centres in level-0 pixels, shape (n, 2), float64.
    index
        Row into `sprites`, shape (n,), intp.
    """

    sprites: list[Sprite]
    places: NDArray[np.float64]
    index: NDArray[np.intp]

    @classmethod
    def join(cls, parts: list[Stamps]) -> Stamps:
        """All stamps of several sets, in their order."""
        offsets = np.cumsum([0, *(len(part.sprites) for part in parts)])
        return cls(
            [sprite for part in parts for sprite in part.sprites],
            np.concatenate([np.empty((0, 2)), *(part.places for part in parts)]),
            np.concatenate(
                [np.empty(0, np.intp), *(part.index + offset for part, offset in zip(parts, offsets, strict=False))]
            ),
        )

    def near(self, x0: float, y0: float, x1: float, y1: float) -> NDArray[np.intp]:
        """Rows whose sprite may touch a rectangle, in painting order."""
        reach = max((len(sprite) for sprite in self.sprites), default=0) / 2 + 1
        x, y = self.places.T
        return np.flatnonzero((x > x0 - reach) & (x < x1 + reach) & (y > y0 - reach) & (y < y1 + reach))


@dataclass(frozen=True, slots=True)
class Cells:
    """Everything that is stamped: bodies of tumour cells, and nuclei of all kinds."""

    bodies: Stamps
    nuclei: Stamps


def populate(rng: np.random.Generator, layout: Layout, fibres: Fibres, severity: float, px_per_um: float) -> Cells:
    """Place the cells of a slide.

    Parameters
    ----------
    layout
        Outlines in level-0 pixels.
    severity
        Of the case; every nest scatters around it by `NEST_SPREAD`.
    """
    bodies, nuclei = _tumour(rng, layout, severity, px_per_um)
    stroma = layout.stroma
    nuclei += [
        _fibroblasts(rng, stroma, fibres, px_per_um),
        _lymphocytes(rng, stroma, px_per_um),
        _random_stamps(rng, layout.necrosis, DEBRIS_PER_MM2, debris(rng, px_per_um, SPRITES_PER_KIND), px_per_um),
    ]
    return Cells(Stamps.join(bodies), Stamps.join(nuclei))


def _tumour(
    rng: np.random.Generator, layout: Layout, severity: float, px_per_um: float
) -> tuple[list[Stamps], list[Stamps]]:
    """Cell bodies and nuclei of all nests, one pair of sets for each group of nests of like severity."""
    severities = np.clip(severity + rng.normal(0.0, NEST_SPREAD, len(layout.nests)), *SEVERITY_RANGE)
    groups = np.rint(severities / SEVERITY_STEP).astype(int)
    shapely.prepare(layout.necrosis)
    bodies: list[Stamps] = []
    nuclei: list[Stamps] = []
    for group in np.unique(groups):
        kind = phenotype(group * SEVERITY_STEP)
        nests = [layout.nests[i] for i in np.flatnonzero(groups == group)]
        places = np.concatenate([_cell_centres(rng, nest, kind, px_per_um) for nest in nests])
        places = places[~shapely.contains_xy(layout.necrosis, places)]
        for stamps, pictures in (
            (bodies, cell_bodies(rng, kind.cell_spacing, px_per_um, SPRITES_PER_KIND)),
            (nuclei, tumour_nuclei(rng, kind, px_per_um, SPRITES_PER_KIND)),
        ):
            stamps.append(Stamps(pictures, places, rng.integers(0, SPRITES_PER_KIND, len(places))))
    return bodies, nuclei


def _cell_centres(rng: np.random.Generator, nest: Geometry, kind: Phenotype, px_per_um: float) -> NDArray[np.float64]:
    """Centres of the cells of one nest, shape (n, 2): crowded, but seldom on top of each other."""
    inner = nest.buffer(-0.3 * kind.nucleus_diameter * px_per_um)
    if inner.is_empty:
        return np.empty((0, 2))
    points = scatter(rng, inner.bounds, kind.cell_spacing * px_per_um, 0.17)
    shapely.prepare(inner)
    return np.asarray(points[shapely.contains_xy(inner, points)])


def _random_points(rng: np.random.Generator, area: Geometry, count: int) -> NDArray[np.float64]:
    """Points spread evenly over an area, about `count`, shape (n, 2)."""
    if area.is_empty:
        return np.empty((0, 2))
    x0, y0, x1, y1 = area.bounds
    tries = int(count * (x1 - x0) * (y1 - y0) / area.area)
    points = rng.uniform((x0, y0), (x1, y1), (tries, 2))
    shapely.prepare(area)
    return np.asarray(points[shapely.contains_xy(area, points)])


def _random_stamps(
    rng: np.random.Generator, area: Geometry, per_mm2: float, pictures: list[Sprite], px_per_um: float
) -> Stamps:
    places = _random_points(rng, area, round(per_mm2 * area.area / (1000.0 * px_per_um) ** 2))
    return Stamps(pictures, places, rng.integers(0, len(pictures), len(places)))


def _fibroblasts(rng: np.random.Generator, stroma: Geometry, fibres: Fibres, px_per_um: float) -> Stamps:
    """Spindle nuclei along the fibres."""
    pictures = spindle_nuclei(rng, px_per_um, SPINDLE_ANGLES, SPINDLE_VARIANTS)
    stamps = _random_stamps(rng, stroma, FIBROBLASTS_PER_MM2, pictures, px_per_um)
    direction = np.rint(fibres.angle_at(*stamps.places.T) / np.pi * SPINDLE_ANGLES).astype(int) % SPINDLE_ANGLES
    variant = rng.integers(0, SPINDLE_VARIANTS, len(direction))
    return Stamps(pictures, stamps.places, direction * SPINDLE_VARIANTS + variant)


def _lymphocytes(rng: np.random.Generator, stroma: Geometry, px_per_um: float) -> Stamps:
    """Lymphocytes in loose clusters."""
    pictures = lymphocyte_nuclei(rng, px_per_um, SPRITES_PER_KIND)
    foci = _random_points(rng, stroma, round(FOCI_PER_MM2 * stroma.area / (1000.0 * px_per_um) ** 2))
    spread = rng.normal(0.0, 35.0 * px_per_um, (len(foci), LYMPHOCYTES_PER_FOCUS, 2))
    places = (foci[:, None, :] + spread).reshape(-1, 2)
    places = places[shapely.contains_xy(stroma, places)]
    return Stamps(pictures, places, rng.integers(0, len(pictures), len(places)))
