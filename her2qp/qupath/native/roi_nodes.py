"""ROIs in the graph: QuPath's serialization proxies to ROIs and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Geometry, LineString, MultiPoint, Point

from her2qp.errors import DataFileError, InvalidEditError
from her2qp.qupath.java import Instance, Item, JavaArray
from her2qp.qupath.native import schema
from her2qp.qupath.native.values import float_array
from her2qp.qupath.native.wkb import read_wkb
from her2qp.qupath.objects import ImagePlane, Roi, RoiKind
from her2qp.qupath.rois import check_roi, ellipse, fill_nonzero, polygons_from_vertices, rectangles, vertices

if TYPE_CHECKING:
    from her2qp.qupath.native.vocabulary import Vocabulary

KINDS = {
    schema.RECTANGLE: RoiKind.RECTANGLE,
    schema.ELLIPSE: RoiKind.ELLIPSE,
    schema.LINE: RoiKind.LINE,
    schema.POLYGON: RoiKind.POLYGON,
    schema.POLYLINE: RoiKind.POLYLINE,
    schema.POINTS: RoiKind.POINTS,
    schema.AREA: RoiKind.AREA,
    schema.GEOMETRY: RoiKind.GEOMETRY,
}
"""Java class of the proxy to kind of ROI."""

_CLASSES = {kind: name for name, kind in KINDS.items()}


_plane = lru_cache(ImagePlane)
"""Planes are few, and all objects on one may share it."""


def read_roi(item: Item) -> Roi | None:
    """The ROI of a node; see :func:`read_rois`."""
    return read_rois((item,))[0]


def read_rois(items: Sequence[Item]) -> list[Roi | None]:
    """The ROIs of many nodes, made together; None for a null.

    Raises
    ------
    DataFileError
        One is of a class that is not known, or damaged.
    """
    found: list[Roi | None] = [None] * len(items)
    fields_of: dict[RoiKind, dict[int, Mapping[str, object]]] = {}
    for number, item in enumerate(items):
        if isinstance(item, Instance) and item.class_name in KINDS:
            fields_of.setdefault(KINDS[item.class_name], {})[number] = item.fields()
        elif item is not None:
            name = item.class_name if isinstance(item, Instance) else type(item).__name__
            raise DataFileError(f"a ROI is of a class that is not known: {name}")
    for kind, fields in fields_of.items():
        try:
            with np.errstate(invalid="ignore"):  # coordinates may be NaN
                shapes = _read_geometries(list(fields.values()), kind)
        except (shapely.errors.ShapelyError, ValueError) as error:
            raise DataFileError(f"a {kind} has coordinates that make no shape: {error}") from error
        for (number, of_one), shape in zip(fields.items(), shapes, strict=True):
            found[number] = Roi(kind, shape, _plane(_int(of_one, "c"), _int(of_one, "z"), _int(of_one, "t")))
    return found


def _read_geometries(fields: Sequence[Mapping[str, object]], kind: RoiKind) -> Iterable[Geometry]:
    if kind is RoiKind.RECTANGLE:
        return rectangles(np.array([[_double(of_one, name) for name in ("x", "y", "x2", "y2")] for of_one in fields]))
    if kind is not RoiKind.POLYGON:
        return [_read_geometry(of_one, kind) for of_one in fields]
    pairs = [_same_length(of_one.get("x"), of_one.get("y")) for of_one in fields]
    points = np.column_stack([np.concatenate(axis) for axis in zip(*pairs, strict=True)])
    return polygons_from_vertices(points.astype(np.float64), [len(xs) for xs, _ in pairs])


def _read_geometry(fields: Mapping[str, object], kind: RoiKind) -> Geometry:
    if kind is RoiKind.GEOMETRY:
        wkb = fields.get("wkb")
        if not isinstance(wkb, JavaArray) or not isinstance(wkb.elements, bytes):
            raise DataFileError("a geometry ROI has no geometry")
        return read_wkb(wkb.elements)
    if kind in (RoiKind.ELLIPSE, RoiKind.LINE):
        x, y, x2, y2 = (_double(fields, name) for name in ("x", "y", "x2", "y2"))
        return LineString([(x, y), (x2, y2)]) if kind is RoiKind.LINE else ellipse(x, y, x2, y2)
    if kind is RoiKind.AREA:
        return fill_nonzero(_read_rings(fields))
    points = np.column_stack(_same_length(fields.get("x"), fields.get("y"))).astype(np.float64)
    if kind is RoiKind.POLYLINE:
        return LineString(points if len(points) != 1 else np.repeat(points, 2, axis=0))
    return Point(points[0]) if len(points) == 1 else MultiPoint(points)


def _same_length(x: object, y: object) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    xs, ys = float_array(x), float_array(y)
    if len(xs) != len(ys):
        raise DataFileError("a ROI has not as many x as y coordinates")
    return xs, ys


def _read_rings(fields: Mapping[str, object]) -> list[NDArray[np.float64]]:
    x, y = fields.get("x"), fields.get("y")
    if not isinstance(x, JavaArray) or not isinstance(y, JavaArray):
        raise DataFileError("an area ROI has no rings")
    if not isinstance(x.elements, list) or not isinstance(y.elements, list) or len(x) != len(y):
        raise DataFileError("an area ROI has not as many x as y rings")
    pairs = [_same_length(xs, ys) for xs, ys in zip(x.elements, y.elements, strict=True)]
    return [np.column_stack(pair).astype(np.float64) for pair in pairs]


def _int(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0


def _double(fields: Mapping[str, object], name: str) -> float:
    value = fields.get(name)
    return value if isinstance(value, float) else float("nan")


def make_roi_node(roi: Roi, vocabulary: Vocabulary, *, where: object = None) -> Instance:
    """The proxy that QuPath would write for a ROI.

    Coordinates of polygons, polylines and points become float32. An area ROI becomes a geometry ROI.

    Raises
    ------
    InvalidEditError
        QuPath could not read it back.
    """
    check_roi(roi, where=where)
    kind = RoiKind.GEOMETRY if roi.kind is RoiKind.AREA else roi.kind
    node = vocabulary.instance(_CLASSES[kind])
    for name, value in (("c", roi.plane.c), ("z", roi.plane.z), ("t", roi.plane.t)):
        node.set(name, value)
    if kind is RoiKind.GEOMETRY:
        wkb = shapely.to_wkb(shapely.force_2d(roi.geometry), byte_order=0, include_srid=False)
        node.set("wkb", JavaArray(vocabulary.desc(schema.BYTE_ARRAY), wkb))
    elif kind in (RoiKind.RECTANGLE, RoiKind.ELLIPSE):
        for name, value in zip(("x", "y", "x2", "y2"), roi.geometry.bounds, strict=True):
            node.set(name, value)
    elif kind is RoiKind.LINE:
        (x, y), (x2, y2) = shapely.get_coordinates(roi.geometry).tolist()
        for name, value in (("x", x), ("y", y), ("x2", x2), ("y2", y2)):
            node.set(name, value)
    else:
        points = vertices(roi.geometry) if kind is RoiKind.POLYGON else shapely.get_coordinates(roi.geometry)
        for name, column in (("x", points[:, 0]), ("y", points[:, 1])):
            with np.errstate(over="ignore"):
                values = column.astype(">f4")
            if not np.isfinite(values).all():
                raise InvalidEditError("a coordinate is too large for QuPath", where=where)
            node.set(name, JavaArray(vocabulary.desc(schema.FLOAT_ARRAY), values.tobytes()))
    return node
