"""Where the tissues of an artificial slide lie: outlines in µm, before anything is painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Geometry, MultiPolygon, Polygon
from shapely.affinity import translate

NEST_SPACING = 165.0
"""Distance of the centres of neighbouring nests in µm."""

NEST_GAP = 22.0
"""Typical width of the septum between two nests in µm."""

FAT_CELL_SPACING = 62.0
"""Distance of the centres of neighbouring fat cells in µm."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Outlines of the tissues.

    Parameters
    ----------
    tissue
        Everything that is not glass.
    tumour
        Outline around the nests, as a pathologist would draw it: thin septa between nests lie inside, so does
        necrosis.
    nests
        The single nests of tumour cells.
    clefts
        White gaps beside nests where the tissue has shrunk away.
    fat, vacuoles
        Fat tissue, and the single fat cells in it.
    necrosis
        Dead tumour.
    """

    tissue: MultiPolygon
    tumour: MultiPolygon
    nests: tuple[Polygon, ...]
    clefts: tuple[Polygon, ...]
    fat: MultiPolygon
    vacuoles: tuple[Polygon, ...]
    necrosis: MultiPolygon

    @property
    def stroma(self) -> MultiPolygon:
        """Tissue that is neither nest, cleft, fat nor necrosis."""
        other = shapely.union_all([*self.nests, *self.clefts, self.fat, self.necrosis])
        return _areas(self.tissue.difference(other))

    @property
    def living_nests(self) -> MultiPolygon:
        """The nests without what is necrotic."""
        return _areas(shapely.union_all(self.nests).difference(self.necrosis))

    def scaled(self, factor: float) -> Layout:
        """The same layout in other units: every coordinate times `factor`."""

        def scale(outline: Any) -> Any:
            return shapely.transform(outline, lambda xy: xy * factor)

        return Layout(
            tissue=scale(self.tissue),
            tumour=scale(self.tumour),
            nests=tuple(map(scale, self.nests)),
            clefts=tuple(map(scale, self.clefts)),
            fat=scale(self.fat),
            vacuoles=tuple(map(scale, self.vacuoles)),
            necrosis=scale(self.necrosis),
        )


def random_layout(rng: np.random.Generator, width: float, height: float, *, necrosis_share: float) -> Layout:
    """Draw the outlines of a slide.

    Parameters
    ----------
    width, height
        Of the slide in µm.
    necrosis_share
        Probability that the largest tumour area has a dead centre.
    """
    tissue = _tissue(rng, width, height)
    areas = _tumour_areas(rng, tissue, min(width, height))
    nests = [nest for area in areas for nest in _nests(rng, area)] or areas
    union = shapely.union_all(nests)
    tumour = _areas(union.buffer(NEST_GAP).buffer(5.0 - NEST_GAP).simplify(1.0).intersection(tissue))
    tumour = MultiPolygon([Polygon(part.exterior) for part in tumour.geoms])
    fat = _fat(rng, tissue, tumour, min(width, height))
    necrosis = MultiPolygon()
    if rng.random() < necrosis_share:
        largest = max(tumour.geoms, key=lambda part: part.area)
        radius = 0.3 * np.sqrt(largest.area / np.pi)
        centre = np.array(largest.representative_point().coords[0])
        necrosis = _areas(_blob(rng, centre, radius, 0.12).intersection(largest.buffer(-NEST_GAP)))
    return Layout(
        tissue=tissue,
        tumour=tumour,
        nests=tuple(nests),
        clefts=tuple(_clefts(rng, nests)),
        fat=fat,
        vacuoles=tuple(_vacuoles(rng, fat)),
        necrosis=necrosis,
    )


def _areas(geometry: Geometry) -> MultiPolygon:
    """The polygons of a geometry that may be anything."""
    parts = shapely.get_parts(shapely.make_valid(geometry))
    return MultiPolygon([part for part in parts if part.geom_type == "Polygon" and part.area > 0])


def _blob(
    rng: np.random.Generator, centre: NDArray[np.float64], radius: float, roughness: float, aspect: float = 1.0
) -> Polygon:
    """A closed outline whose radius wavers around `radius` by random waves."""
    theta = np.linspace(0.0, 2 * np.pi, 512, endpoint=False)
    waves = np.arange(2, 60)
    amplitude = rng.normal(0.0, roughness, len(waves)) / waves**1.25
    phase = rng.uniform(0.0, 2 * np.pi, len(waves))
    radii = radius * np.clip(1.0 + np.cos(theta[:, None] * waves + phase) @ amplitude, 0.45, 1.55)
    direction = rng.uniform(0.0, np.pi)
    long, short = radii * np.cos(theta) * np.sqrt(aspect), radii * np.sin(theta) / np.sqrt(aspect)
    x = long * np.cos(direction) - short * np.sin(direction)
    y = long * np.sin(direction) + short * np.cos(direction)
    return shapely.make_valid(Polygon(centre + np.column_stack([x, y])))


def _tissue(rng: np.random.Generator, width: float, height: float) -> MultiPolygon:
    """One large piece of tissue near the middle and, on half of the slides, a small one in a corner."""
    size = np.array([width, height])
    main = _blob(rng, size * rng.uniform(0.47, 0.53, 2), 0.39 * size.min(), 0.1, rng.uniform(1.0, 1.2))
    pieces = [main]
    if rng.random() < 0.5:
        corner = size * rng.choice([0.1, 0.9], 2)
        pieces.append(_blob(rng, corner, 0.07 * size.min(), 0.12).difference(main.buffer(0.02 * size.min())))
    margin = 0.02 * size.min()
    return _areas(shapely.union_all(pieces).intersection(shapely.box(margin, margin, *(size - margin))))


def _tumour_areas(rng: np.random.Generator, tissue: MultiPolygon, side: float) -> list[Polygon]:
    """Two or three areas in the largest piece of tissue that are to be filled with nests."""
    main = max(tissue.geoms, key=lambda part: part.area)
    inner = main.buffer(-0.03 * side)
    centre = np.array(main.centroid.coords[0])
    count = int(rng.integers(2, 4))
    start = rng.uniform(0.0, 2 * np.pi)
    areas = []
    for direction in start + np.arange(count) * 2 * np.pi / count + rng.normal(0.0, 0.15, count):
        middle = centre + 0.19 * side * np.array([np.cos(direction), np.sin(direction)])
        radius = side * rng.uniform(0.13, 0.18) * (1.15 if count == 2 else 1.0)
        areas.append(_blob(rng, middle, radius, 0.14, rng.uniform(1.0, 1.4)))
    return list(_areas(shapely.union_all(areas).intersection(inner)).geoms)


def scatter(rng: np.random.Generator, bounds: tuple[float, ...], spacing: float, jitter: float) -> NDArray[np.float64]:
    """Points of a hexagonal grid over `bounds`, each moved by noise of `jitter` spacings; shape (n, 2)."""
    x0, y0, x1, y1 = bounds
    rows = np.arange(y0 - spacing, y1 + spacing, spacing * np.sqrt(0.75))
    columns = np.arange(x0 - spacing, x1 + spacing, spacing)
    x = columns[None, :] + np.where(np.arange(len(rows)) % 2, spacing / 2, 0.0)[:, None]
    y = np.broadcast_to(rows[:, None], x.shape)
    points = np.column_stack([x.ravel(), y.ravel()])
    return np.asarray(points + rng.normal(0.0, jitter * spacing, points.shape))


def _rounded_cells(
    rng: np.random.Generator, area: Geometry, spacing: float, gap: float, rounding: float
) -> list[Polygon]:
    """Divide an area into the Voronoi cells of scattered points, shrunk by `gap` a side and with rounded corners."""
    points = scatter(rng, area.bounds, spacing, 0.2)
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(points)))
    cells = shapely.intersection(cells, area)
    gaps = gap * rng.uniform(0.6, 1.6, len(cells))
    cells = shapely.buffer(shapely.buffer(cells, -(gaps + rounding), quad_segs=4), rounding, quad_segs=6)
    parts = shapely.get_parts(cells)
    smallest = (0.12 * spacing) ** 2
    return [part for part in parts if part.geom_type == "Polygon" and part.area > smallest]


def _nests(rng: np.random.Generator, area: Polygon) -> list[Polygon]:
    """Nests of tumour cells between thin septa, their outlines wavering."""
    nests = []
    spacing = min(NEST_SPACING, 0.7 * np.sqrt(area.area))
    for cell in _rounded_cells(rng, area, spacing, 0.07 * spacing, 0.14 * spacing):
        outline = shapely.get_coordinates(shapely.segmentize(cell.exterior, 8.0))[:-1]
        waves = 2 * np.pi * np.arange(2, 10) / len(outline)
        phases = rng.uniform(0.0, 2 * np.pi, len(waves))
        wobble = np.cos(np.arange(len(outline))[:, None] * waves + phases) @ rng.normal(0.0, 1.6, len(waves))
        centre = outline.mean(axis=0)
        away = outline - centre
        away /= np.linalg.norm(away, axis=1, keepdims=True) + 1e-9
        wavy = shapely.make_valid(Polygon(outline + wobble[:, None] * away)).buffer(-5.0).buffer(5.0)
        parts = _areas(wavy.intersection(area)).geoms
        if parts:
            nests.append(max(parts, key=lambda part: part.area))
    return nests


def _clefts(rng: np.random.Generator, nests: list[Polygon]) -> list[Polygon]:
    """A crescent of glass beside every third nest: the nest's outline, slightly larger and moved."""
    clefts = []
    for nest in nests:
        if rng.random() < 0.35:
            x, y = rng.normal(0.0, 3.0, 2)
            clefts.append(translate(nest.buffer(rng.uniform(0.0, 2.5)), x, y))
    return clefts


def _fat(rng: np.random.Generator, tissue: MultiPolygon, tumour: MultiPolygon, side: float) -> MultiPolygon:
    """Lobules of fat at the rim of the tissue, away from the tumour."""
    main = max(tissue.geoms, key=lambda part: part.area)
    rim = main.buffer(-0.07 * side).exterior
    if rim.is_empty:
        return MultiPolygon()
    lobules = []
    for place in rng.uniform(0.0, 1.0, int(rng.integers(3, 6))):
        centre = np.array(rim.interpolate(place, normalized=True).coords[0])
        lobules.append(_blob(rng, centre, side * rng.uniform(0.07, 0.11), 0.15, rng.uniform(1.0, 1.8)))
    inside = tissue.buffer(-0.008 * side).difference(tumour.buffer(25.0))
    return _areas(shapely.union_all(lobules).intersection(inside).buffer(-10.0).buffer(10.0))


def _vacuoles(rng: np.random.Generator, fat: MultiPolygon) -> list[Polygon]:
    """Fat cells: large empty rounded cells between thin membranes."""
    return [cell for lobule in fat.geoms for cell in _rounded_cells(rng, lobule, FAT_CELL_SPACING, 0.8, 7.0)]
