"""Between QuPath's ROIs and shapely geometries: what all of QuPath's formats share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Geometry, LineString, MultiPoint, Point, Polygon

from her2qp.errors import InvalidEditError
from her2qp.qupath.objects import ImagePlane, Roi, RoiKind

ELLIPSE_SEGMENTS = 100
"""Sides of the polygon that stands for an ellipse, as many as QuPath uses. Divisible by four."""

_DEFAULT_PLANE = ImagePlane()
_LAST_PLANE = 2**31 - 1


def make_roi(geometry: Geometry, plane: ImagePlane = _DEFAULT_PLANE) -> Roi:
    """The ROI that QuPath would make of a geometry.

    An axis-aligned rectangle becomes a rectangle, a polygon without holes a polygon, a line of two points a line, a
    longer one a polyline, points a points ROI; everything else a geometry ROI.

    Parameters
    ----------
    geometry
        A shape in pixels at full resolution.
    plane
        Where it lies.
    """
    return Roi(_kind_of(geometry), geometry, plane)


def _kind_of(geometry: Geometry) -> RoiKind:
    if isinstance(geometry, Point | MultiPoint):
        return RoiKind.POINTS
    if isinstance(geometry, LineString) and not geometry.is_empty:
        return RoiKind.LINE if len(geometry.coords) == 2 else RoiKind.POLYLINE
    if isinstance(geometry, Polygon) and not geometry.is_empty and not geometry.interiors:
        return RoiKind.RECTANGLE if is_rectangle(geometry) else RoiKind.POLYGON
    return RoiKind.GEOMETRY


def is_rectangle(geometry: Geometry) -> bool:
    """Whether a geometry is an axis-aligned rectangle of four corners."""
    if not isinstance(geometry, Polygon) or geometry.interiors or len(geometry.exterior.coords) != 5:
        return False
    steps = np.diff(shapely.get_coordinates(geometry), axis=0)
    return bool(((steps == 0).sum(axis=1) == 1).all() and geometry.area > 0)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    """A rectangle in QuPath's order of corners: from the upper left along the upper side."""
    return Polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def rectangles(bounds: NDArray[np.floating]) -> Sequence[Polygon]:
    """The same for many, of which `bounds` are x0, y0, x1, y1, shape (n, 4)."""
    polygons: Sequence[Polygon] = shapely.polygons(bounds[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]).tolist()
    return polygons


def ellipse(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    """The polygon that stands for the ellipse within a box; its bounds are the box."""
    quarter = ELLIPSE_SEGMENTS // 4
    angles = np.arange(ELLIPSE_SEGMENTS) * (2 * np.pi / ELLIPSE_SEGMENTS)
    x = (x0 + x1) / 2 + (x1 - x0) / 2 * np.cos(angles)
    y = (y0 + y1) / 2 + (y1 - y0) / 2 * np.sin(angles)
    x[0], x[2 * quarter] = x1, x0
    y[quarter], y[3 * quarter] = y1, y0
    return Polygon(np.column_stack((x, y)))


def polygon_from_vertices(points: NDArray[np.floating]) -> Polygon:
    """A polygon of any number of vertices, shape (n, 2); of fewer than three it has no area."""
    if len(points) == 0:
        return Polygon()
    if len(points) < 3:
        points = np.vstack((points, np.repeat(points[-1:], 3 - len(points), axis=0)))
    return shapely.polygons(points)


def polygons_from_vertices(points: NDArray[np.floating], sizes: Sequence[int]) -> Sequence[Polygon]:
    """Many polygons as :func:`polygon_from_vertices` makes them, many times faster than one by one.

    Parameters
    ----------
    points
        The vertices of the first, then those of the second, and so on, shape (sum(sizes), 2).
    sizes
        How many each has.
    """
    if min(sizes, default=3) < 3:
        return [polygon_from_vertices(some) for some in np.split(points, np.cumsum(sizes)[:-1])]
    rings = shapely.linearrings(points, indices=np.repeat(np.arange(len(sizes)), sizes))
    polygons: Sequence[Polygon] = shapely.polygons(rings).tolist()
    return polygons


def vertices(polygon: Polygon) -> NDArray[np.float64]:
    """Vertices of a polygon's shell without the repeated last one, shape (n, 2), float64."""
    return np.asarray(polygon.exterior.coords, dtype=np.float64)[:-1, :2]


def fill_nonzero(rings: Sequence[NDArray[np.floating]]) -> Geometry:
    """The area within rings under the non-zero winding rule, rings not crossing each other.

    Parameters
    ----------
    rings
        Vertices of each ring, shape (n, 2). A hole runs opposite to what it is a hole of.
    """
    polygons = [polygon_from_vertices(ring) for ring in rings]
    polygons = sorted((p for p in polygons if p.area > 0), key=lambda p: p.area, reverse=True)
    turns = [1 if polygon.exterior.is_ccw else -1 for polygon in polygons]
    filled: Geometry = Polygon()
    for index, polygon in enumerate(polygons):
        inside = polygon.representative_point()
        winding = sum(turns[outer] for outer in range(index) if polygons[outer].contains(inside))
        if winding == 0:
            filled = filled.union(polygon)
        elif winding + turns[index] == 0:
            filled = filled.difference(polygon)
    return filled


def check_roi(roi: Roi, *, where: object = None) -> Roi:
    """Return a ROI if QuPath could read it back, else raise.

    Raises
    ------
    InvalidEditError
        The plane is negative or absurd, coordinates are not finite, or the geometry is not of the ROI's kind.
    """
    plane = roi.plane
    if plane.c < -1 or plane.z < 0 or plane.t < 0 or max(plane.c, plane.z, plane.t) > _LAST_PLANE:
        raise InvalidEditError(f"a plane must have c from -1, z and t from 0, to {_LAST_PLANE}", where=where)
    if roi.geometry.is_empty or not np.isfinite(shapely.get_coordinates(roi.geometry)).all():
        raise InvalidEditError("a ROI is empty or has coordinates that are not finite", where=where)
    fits = {
        RoiKind.RECTANGLE: isinstance(roi.geometry, Polygon) and is_rectangle(roi.geometry),
        RoiKind.ELLIPSE: isinstance(roi.geometry, Polygon),
        RoiKind.LINE: isinstance(roi.geometry, LineString) and len(roi.geometry.coords) == 2,
        RoiKind.POLYGON: isinstance(roi.geometry, Polygon) and not roi.geometry.interiors,
        RoiKind.POLYLINE: isinstance(roi.geometry, LineString),
        RoiKind.POINTS: isinstance(roi.geometry, Point | MultiPoint),
    }.get(roi.kind, True)
    if not fits:
        raise InvalidEditError(f"a {roi.geometry.geom_type} cannot be a {roi.kind}", where=where)
    return roi
