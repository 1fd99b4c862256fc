"""Objects of every kind, and tables of tiles, made up for tests."""

from __future__ import annotations

from collections.abc import Container
from uuid import UUID, uuid5

import numpy as np
import shapely
from shapely import LineString, MultiPoint, MultiPolygon, Point, Polygon

from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.qupath.java import Instance, expand_runs, read_stream, write_stream
from her2qp.qupath.java.graph import walk
from her2qp.qupath.native import schema
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.native.records import TYPES, read_record
from her2qp.qupath.native.values import read_metadata
from her2qp.qupath.objects import (
    DESCRIPTION_KEY,
    ImagePlane,
    ImageType,
    ObjectType,
    PathObject,
    Roi,
    RoiKind,
    TileTable,
)
from her2qp.qupath.rois import ellipse, make_roi, rectangle

SPACE = UUID("5c0ffee0-0000-4000-8000-000000000000")
TUMOR = PathClass(("Tumor",), pack_rgb(200, 0, 0))
POSITIVE = PathClass(("Tumor", "Positive"))
HER2 = tuple(PathClass((f"HER2 {grade}",), pack_rgb(10 * i, 20, 30)) for i, grade in enumerate(("0", "1+", "2+", "3+")))
SERVER = {"builderType": "uri", "uri": "file:/slides/ä.svs", "args": [], "metadata": {"name": "ä.svs", "isRGB": True}}


def new_id(number: int) -> UUID:
    return uuid5(SPACE, str(number))


def empty_data() -> QpData:
    return QpData.create(SERVER, ImageType.BRIGHTFIELD_H_E)


def without_ids(data: bytes, ids: Container[UUID]) -> bytes:
    """A file in which some objects have no metadata and so no id, as if QuPath 0.3 had made them."""
    stream = read_stream(data)
    for node in walk(stream.contents):
        if node.class_name in (*TYPES, schema.ROOT):
            for child in expand_runs(node.content):
                if isinstance(child, Instance) and child.class_name in TYPES:
                    record = read_record(child)
                    if record.metadata is not None and read_metadata(record)[0] in ids:
                        del child.content[record.metadata]
    return write_stream(stream.contents)


def rich_objects() -> tuple[PathObject, ...]:
    """At least one object of every type and one ROI of every kind that is written, nested three deep."""
    holed = Polygon([(0, 0), (90, 0), (90, 90), (0, 90)], [[(10, 10), (20, 10), (20, 20)]])
    several = MultiPolygon([Polygon([(0, 0), (5, 0), (5, 5)]), Polygon([(20, 20), (29, 20), (29, 29), (20, 29)])])
    annotation, detection = ObjectType.ANNOTATION, ObjectType.DETECTION
    unicode = {"clé": "ÄÖ 中 \U0001f52c \x00 end", DESCRIPTION_KEY: "two\nlines"}
    rois = [
        make_roi(rectangle(10, 20, 1000.5, 2000.25)),
        Roi(RoiKind.ELLIPSE, ellipse(5, 6, 105, 56)),
        make_roi(LineString([(1, 2), (3.5, 4.25)])),
        make_roi(LineString([(0, 0), (5, 5), (10, 0)])),
        make_roi(Polygon([(0, 0), (50, 3), (20, 40)])),
        make_roi(holed, ImagePlane(1, 2, 3)),
        make_roi(several),
        make_roi(Point(7, 8)),
        make_roi(MultiPoint([(1, 1), (2.5, 3)])),
    ]
    objects = [PathObject(new_id(i), annotation, roi, metadata={"n": str(i)}) for i, roi in enumerate(rois)]
    objects += [
        PathObject(new_id(20), annotation, rois[0], TUMOR, "näme \U0001f52c", pack_rgb(1, 2, 3), True, unicode),
        PathObject(new_id(21), annotation, rois[4], POSITIVE, measurements={"a": 0.1, "b": np.nan}, parent=new_id(20)),
        PathObject(new_id(22), detection, rois[4], POSITIVE, measurements={"a": 0.5}, parent=new_id(21)),
        PathObject(new_id(23), ObjectType.TILE, rois[0], HER2[1], measurements={"a": 0.25, "z": np.inf}),
        PathObject(
            new_id(24),
            ObjectType.CELL,
            rois[4],
            class_probability=0.75,
            nucleus=make_roi(Polygon([(1, 1), (3, 1), (2, 2)])),
        ),
        PathObject(new_id(25), ObjectType.CELL, rois[4], measurements={"a": -1.5}),
        PathObject(new_id(26), ObjectType.TMA_CORE, rois[1], name="A-1", is_missing=True, measurements={"x": 1.0}),
    ]
    return tuple(objects)


def tile_table(
    n: int, parents: tuple[UUID | None, ...] = (None,), *, seed: int = 0, unclassified: bool = False, gaps: bool = False
) -> TileTable:
    """`n` tiles with random ids, classes, measurements (some absent where there may be gaps) and parents."""
    rng = np.random.default_rng(seed)
    corners = np.column_stack((np.arange(n) % 100, np.arange(n) // 100)) * 256.0
    values = rng.random((n, 8), dtype=np.float32)
    if gaps:
        values[rng.random((n, 8)) < 0.01] = np.nan
    return TileTable(
        ids=rng.integers(0, 256, (n, 16), dtype=np.uint8),
        bounds=np.hstack((corners, corners + 256)),
        classes=HER2,
        class_index=rng.integers(-1 if unclassified else 0, 4, n).astype(np.int32),
        names=tuple(f"HER2 m{i}" for i in range(8)),
        values=values,
        parent_ids=parents,
        parent_index=rng.integers(0, len(parents), n).astype(np.int32),
    )


def same(one: PathObject, other: PathObject) -> bool:
    """Whether two objects are the same but for what float32 cannot hold."""
    facts = ["id", "type", "path_class", "name", "color", "locked", "metadata", "parent", "is_missing"]
    if any(getattr(one, fact) != getattr(other, fact) for fact in facts):
        return False
    if list(one.measurements) != list(other.measurements) or (one.nucleus is None) != (other.nucleus is None):
        return False
    numbers = [[*list(o.measurements.values()), o.class_probability] for o in (one, other)]
    if not np.allclose(*numbers, rtol=1e-6, atol=0, equal_nan=True):
        return False
    return all(same_roi(a, b) for a, b in ((one.roi, other.roi), (one.nucleus, other.nucleus)) if a is not None)


def same_roi(one: Roi | None, other: Roi | None) -> bool:
    if one is None or other is None or (one.kind, one.plane) != (other.kind, other.plane):
        return one is other
    scale = 1 + float(np.abs(shapely.get_coordinates(one.geometry)).max())
    return bool(shapely.equals_exact(one.geometry, other.geometry, tolerance=1e-6 * scale, normalize=True))
