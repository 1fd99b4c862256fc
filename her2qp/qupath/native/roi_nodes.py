"""ROIs in the graph: QuPath's serialization proxies to ROIs and back."""

from __future__ import annotations

from collections.abc import Mapping
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
from her2qp.qupath.rois import check_roi, ellipse, fill_nonzero, polygon_from_vertices, rectangle, vertices

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


def read_roi(item: Item) -> Roi | None:
    """The ROI of a node; None for a null.

    Raises
    ------
    DataFileError
        It is of a class that is not known, or damaged.
    """
    if item is None:
        return None
    if not isinstance(item, Instance) or item.class_name not in KINDS:
        name = item.class_name if isinstance(item, Instance) else type(item).__name__
        raise DataFileError(f"a ROI is of a class that is not known: {name}")
    kind, fields = KINDS[item.class_name], item.fields()
    try:
        with np.errstate(invalid="ignore"):  # coordinates may be NaN
            geometry = _read_geometry(fields, kind)
    except (shapely.errors.ShapelyError, ValueError) as error:
        raise DataFileError(f"a {kind} has coordinates that make no shape: {error}") from error
    return Roi(kind, geometry, ImagePlane(_int(fields, "c"), _int(fields, "z"), _int(fields, "t")))


def _read_geometry(fields: Mapping[str, object], kind: RoiKind) -> Geometry:
    if kind is RoiKind.GEOMETRY:
        wkb = fields.get("wkb")
        if not isinstance(wkb, JavaArray) or not isinstance(wkb.elements, bytes):
            raise DataFileError("a geometry ROI has no geometry")
        return read_wkb(wkb.elements)
    if kind in (RoiKind.RECTANGLE, RoiKind.ELLIPSE, RoiKind.LINE):
        x, y, x2, y2 = (_double(fields, name) for name in ("x", "y", "x2", "y2"))
        if kind is RoiKind.LINE:
            return LineString([(x, y), (x2, y2)])
        return rectangle(x, y, x2, y2) if kind is RoiKind.RECTANGLE else ellipse(x, y, x2, y2)
    if kind is RoiKind.AREA:
        return fill_nonzero(_read_rings(fields))
    points = _points(fields.get("x"), fields.get("y"))
    if kind is RoiKind.POLYGON:
        return polygon_from_vertices(points)
    if kind is RoiKind.POLYLINE:
        return LineString(points if len(points) != 1 else np.repeat(points, 2, axis=0))
    return Point(points[0]) if len(points) == 1 else MultiPoint(points)


def _points(x: object, y: object) -> NDArray[np.float64]:
    xs, ys = float_array(x), float_array(y)
    if len(xs) != len(ys):
        raise DataFileError("a ROI has not as many x as y coordinates")
    points = np.empty((len(xs), 2))
    points[:, 0], points[:, 1] = xs, ys
    return points


def _read_rings(fields: Mapping[str, object]) -> list[NDArray[np.float64]]:
    x, y = fields.get("x"), fields.get("y")
    if not isinstance(x, JavaArray) or not isinstance(y, JavaArray):
        raise DataFileError("an area ROI has no rings")
    if not isinstance(x.elements, list) or not isinstance(y.elements, list) or len(x) != len(y):
        raise DataFileError("an area ROI has not as many x as y rings")
    return [_points(xs, ys) for xs, ys in zip(x.elements, y.elements, strict=True)]


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
