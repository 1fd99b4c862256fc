"""Geometries of GeoJSON to and from ROIs."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Geometry, GeometryCollection, LineString, MultiLineString, MultiPoint, MultiPolygon, Point, Polygon

from her2qp.errors import GeoJSONError
from her2qp.qupath.objects import ImagePlane, Roi, RoiKind
from her2qp.qupath.rois import ellipse, make_roi, rectangle

DECIMALS = 2
"""Decimal places of coordinates, as many as QuPath writes; QuPath 0.6 and later round to as many when they read."""

GEOMETRY_TYPES = (
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
)
_MAX_COLLECTION_DEPTH = 8
_LARGEST = 1e100
"""Coordinates beyond it overflow when areas are computed; no slide is as large."""


def encode_roi(roi: Roi) -> dict[str, Any] | None:
    """A ROI as a GeoJSON geometry that every QuPath can read.

    Rounded to `DECIMALS` places; a self-intersecting polygon is repaired and a mixed collection reduced to its parts
    of the highest dimension, because QuPath 0.6 and later refuse both. None if nothing is left: it is empty or has
    no area.
    """
    geometry = _writable(roi.geometry)
    if geometry.is_empty:
        return None
    encoded: dict[str, Any] = {"type": geometry.geom_type, "coordinates": _nested_coordinates(geometry)}
    if roi.plane != ImagePlane():
        encoded["plane"] = {"c": roi.plane.c, "z": roi.plane.z, "t": roi.plane.t}
    if roi.kind is RoiKind.ELLIPSE:
        encoded["isEllipse"] = True
    return encoded


def _writable(geometry: Geometry) -> Geometry:
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        return Polygon()
    rounded = shapely.transform(geometry, lambda xy: np.round(xy, DECIMALS) + 0.0)
    if rounded.is_valid and not isinstance(rounded, GeometryCollection):
        return rounded
    return _highest_dimension(shapely.set_precision(shapely.make_valid(geometry), 10.0**-DECIMALS), geometry)


def _highest_dimension(mixed: Geometry, original: Geometry) -> Geometry:
    """The parts that have the dimension of the original: the line that is left of a collapsed polygon is none."""
    parts = shapely.get_parts(mixed)
    wanted = shapely.get_dimensions(shapely.get_parts(original)).max(initial=-1)
    parts = [part for part in parts if shapely.get_dimensions(part) == wanted and not part.is_empty]
    return shapely.union_all(parts) if parts else Polygon()


def _nested_coordinates(geometry: Geometry) -> list[Any]:
    if isinstance(geometry, Polygon):
        return [_pairs(ring) for ring in (geometry.exterior, *geometry.interiors)]
    if isinstance(geometry, MultiPolygon | MultiLineString):
        return [_nested_coordinates(part) for part in geometry.geoms]
    pairs = _pairs(geometry)
    return list(pairs[0]) if isinstance(geometry, Point) else pairs


def _pairs(geometry: Geometry) -> list[list[float]]:
    """Coordinates as pairs, whole numbers without a fraction to keep files small."""
    pairs: list[list[float]] = shapely.get_coordinates(geometry).round(DECIMALS).tolist()
    return [[int(x) if x == int(x) else x, int(y) if y == int(y) else y] for x, y in pairs]


def decode_roi(geometry: object, *, where: object) -> Roi:
    """The ROI that QuPath would make of a GeoJSON geometry.

    Raises
    ------
    GeoJSONError
        It is not a geometry, a ring is not closed, or a coordinate is not a finite number.
    """
    if not isinstance(geometry, dict):
        raise GeoJSONError("it has no geometry", where=where, remedy="Remove the feature or give it one.")
    plane = _decode_plane(geometry.get("plane"), where)
    corners = _corners(geometry)
    if corners is not None:
        return Roi(RoiKind.RECTANGLE, rectangle(*corners), plane)
    shape = _decode(geometry, where, 0)
    if shape.is_empty:
        raise GeoJSONError("its geometry is empty", where=where, remedy="Remove the feature.")
    if geometry.get("isEllipse") is True:
        return Roi(RoiKind.ELLIPSE, ellipse(*shape.bounds), plane)
    return make_roi(shape, plane)


def _corners(geometry: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """x0, y0, x1, y1 of a plain rectangle such as a tile, found without shapely because there may be a million."""
    match geometry:
        case {"type": "Polygon", "coordinates": [[[x0, y0], [x1, y1], [x2, y2], [x3, y3], [x4, y4]]], **more}:
            around = (x0, x1, x2, x3, x4, y0, y1, y2, y3, y4)
        case _:
            return None
    if more.get("isEllipse") is True or not all(type(value) in (int, float) for value in around):
        return None
    clockwise = x1 == x2 and x3 == x0 and y1 == y0 and y3 == y2
    counterclockwise = x1 == x0 and x3 == x2 and y1 == y2 and y3 == y0
    if (x4, y4) != (x0, y0) or not (clockwise or counterclockwise):
        return None
    if not all(-_LARGEST < value < _LARGEST for value in (x0, x2, y0, y2)):
        return None
    if x0 == x2 or y0 == y2:
        return None
    return min(x0, x2), min(y0, y2), max(x0, x2), max(y0, y2)


def _decode(geometry: dict[str, Any], where: object, depth: int) -> Geometry:
    kind = geometry.get("type")
    if kind not in GEOMETRY_TYPES:
        raise GeoJSONError(f"{kind!r} is not a type of geometry", where=where)
    if kind == "GeometryCollection":
        return _decode_collection(geometry.get("geometries"), where, depth)
    coordinates = geometry.get("coordinates")
    if not isinstance(coordinates, list):
        raise GeoJSONError(f"the {kind} has no coordinates", where=where)
    if kind == "Point":
        return Point(_array([coordinates], where)[0])
    if kind == "MultiPoint":
        return MultiPoint(_array(coordinates, where))
    if kind == "LineString":
        return _line(coordinates, where)
    if kind == "MultiLineString":
        return MultiLineString([_line(part, where) for part in coordinates])
    if kind == "Polygon":
        return _polygon(coordinates, where)
    return MultiPolygon([_polygon(part, where) for part in coordinates])


def _decode_collection(members: object, where: object, depth: int) -> Geometry:
    """The members of the highest dimension, joined, as QuPath 0.3 to 0.5 do."""
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise GeoJSONError("the GeometryCollection has no geometries", where=where)
    if depth == _MAX_COLLECTION_DEPTH:
        raise GeoJSONError("its GeometryCollections are nested too deeply", where=where)
    shapes = [_decode(member, where, depth + 1) for member in members]
    highest = max((shapely.get_dimensions(shape) for shape in shapes), default=-1)
    return shapely.union_all([shapely.make_valid(s) for s in shapes if shapely.get_dimensions(s) == highest])


def _array(coordinates: object, where: object) -> NDArray[np.float64]:
    """Positions as an array of shape (n, 2); a third coordinate is dropped, as QuPath does."""
    if coordinates == []:
        return np.empty((0, 2))
    try:
        values = np.asarray(coordinates, dtype=object)  # of numbers only: the longest text would set the size of all
    except ValueError:
        values = np.empty(0, dtype=object)
    kinds: set[type] = set(map(type, values.ravel().tolist()))
    are_numbers = bool not in kinds and all(issubclass(kind, Real) for kind in kinds)
    if values.ndim != 2 or values.shape[1] < 2 or not are_numbers:
        raise GeoJSONError("a coordinate is not a pair of numbers", where=where)
    try:
        array = values[:, :2].astype(np.float64)
    except OverflowError:
        array = np.full((1, 2), np.inf)
    if not (np.abs(array) < _LARGEST).all():
        raise GeoJSONError(
            "a coordinate is not a finite number or absurdly large", where=where, remedy="Remove or repair the feature."
        )
    return array


def _line(coordinates: object, where: object) -> LineString:
    array = _array(coordinates, where)
    if len(array) < 2:
        raise GeoJSONError("a line has fewer than two points", where=where, remedy="Remove or repair the feature.")
    return LineString(array)


def _polygon(coordinates: object, where: object) -> Polygon:
    if not isinstance(coordinates, list):
        raise GeoJSONError("a polygon is not a list of rings", where=where)
    rings = [_ring(ring, where) for ring in coordinates]
    return Polygon(rings[0], rings[1:]) if rings else Polygon()


def _ring(coordinates: object, where: object) -> NDArray[np.float64]:
    array = _array(coordinates, where)
    if len(array) and (array[0] != array[-1]).any():
        raise GeoJSONError(
            "a ring of its polygon is not closed", where=where, remedy="Repeat the ring's first point as its last."
        )
    if len(array) < 4:
        raise GeoJSONError("a ring of its polygon has fewer than four points", where=where)
    return array


def _decode_plane(plane: object, where: object) -> ImagePlane:
    if plane is None:
        return ImagePlane()
    members = plane if isinstance(plane, dict) else {"c": None}
    values: list[Any] = [members.get(axis, default) for axis, default in (("c", -1), ("z", 0), ("t", 0))]
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        raise GeoJSONError("its plane does not say c, z and t as whole numbers", where=where)
    return ImagePlane(*values)
