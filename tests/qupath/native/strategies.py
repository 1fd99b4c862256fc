"""Objects of every kind that QuPath has, in any hierarchy, for property tests."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from shapely import GeometryCollection, LineString, MultiLineString, MultiPoint, MultiPolygon, Point, Polygon, box

from her2qp.errors import InvalidEditError
from her2qp.qupath.classes import PathClass
from her2qp.qupath.objects import OBJECT_ID_KEY, ImagePlane, ObjectType, PathObject, Roi, RoiKind, TileTable
from her2qp.qupath.rois import ellipse, make_roi

coordinates = st.integers(-(2**20), 2**20).map(lambda n: n / 8)
points = st.tuples(coordinates, coordinates)
planes = st.builds(ImagePlane, st.integers(-1, 5), st.integers(0, 5), st.integers(0, 5))
extents = st.tuples(coordinates, coordinates, st.integers(1, 9999), st.integers(1, 9999)).map(
    lambda e: (e[0], e[1], e[0] + e[2], e[1] + e[3])
)
triangles = st.tuples(points, points, points).map(Polygon).filter(lambda p: p.area > 0)
lines = st.lists(points, min_size=2, max_size=9, unique=True).map(LineString)


def framed(extent: tuple[float, float, float, float]) -> Polygon:
    """A rectangle with a hole."""
    x0, y0, x1, y1 = extent
    dx, dy = (x1 - x0) / 4, (y1 - y0) / 4
    return box(*extent).difference(box(x0 + dx, y0 + dy, x1 - dx, y1 - dy))


def side_by_side(extent: tuple[float, float, float, float]) -> MultiPolygon:
    """Two rectangles, one of them with a hole."""
    x0, y0, x1, y1 = extent
    width = x1 - x0
    return MultiPolygon([framed(extent), box(x1 + width, y0, x1 + 2 * width, y1)])


areas = st.one_of(
    st.builds(make_roi, extents.map(lambda e: box(*e)), planes),
    st.builds(lambda e, plane: Roi(RoiKind.ELLIPSE, ellipse(*e), plane), extents, planes),
    st.builds(make_roi, triangles, planes),
    st.builds(lambda a, b, plane: make_roi(a.difference(b), plane), triangles, triangles, planes).filter(
        lambda roi: not roi.geometry.is_empty
    ),
    st.builds(make_roi, extents.map(framed), planes),
    st.builds(make_roi, extents.map(side_by_side), planes),
)
rois = st.one_of(
    areas,
    st.builds(make_roi, st.lists(points, min_size=2, max_size=9).map(MultiPoint) | points.map(Point), planes),
    st.builds(make_roi, lines, planes),
    st.builds(make_roi, st.lists(lines, min_size=2, max_size=3).map(MultiLineString), planes),
    st.builds(lambda a, b: make_roi(GeometryCollection([a, b])), lines, triangles),
)

LONG = "ä\x00\U0001f52c" * 20_000
"""More bytes than a short string of Java holds."""

texts = st.text(max_size=20)
words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)
names = st.sampled_from(["HER2 tiles", "Area µm^2", "x"]) | texts.filter(lambda name: bool(name.strip()))
keys = texts.filter(lambda key: key != OBJECT_ID_KEY)
numbers = st.floats(width=32)
probabilities = st.floats(0, 1) | st.just(float("nan"))


def is_class(path_class: PathClass) -> bool:
    try:
        path_class.check()
    except InvalidEditError:
        return False
    return True


classes = st.none() | st.builds(PathClass, st.lists(words | names, min_size=1, max_size=3).map(tuple)).filter(is_class)


@st.composite
def path_objects(draw: st.DrawFn, object_id: UUID, parent: UUID | None, shapes: st.SearchStrategy[Roi]) -> PathObject:
    """An object of any kind with anything that it can hold."""
    kind = draw(st.sampled_from(ObjectType))
    metadata = draw(st.dictionaries(keys, texts, max_size=3))
    if draw(st.integers(0, 19)) == 0:
        metadata["long"] = LONG
    return PathObject(
        id=object_id,
        type=kind,
        roi=draw(areas if kind in (ObjectType.CELL, ObjectType.TMA_CORE) else shapes),
        path_class=draw(classes),
        name=draw(st.none() | texts),
        color=draw(st.none() | st.integers(-(2**31), 2**31 - 1)),
        locked=draw(st.booleans()),
        metadata=metadata,
        measurements=draw(st.dictionaries(names, numbers, max_size=4)),
        class_probability=draw(probabilities),
        parent=parent,
        nucleus=draw(st.none() | areas) if kind is ObjectType.CELL else None,
        is_missing=draw(st.booleans()) if kind is ObjectType.TMA_CORE else False,
    )


@st.composite
def hierarchies(
    draw: st.DrawFn, shapes: st.SearchStrategy[Roi] = rois, max_size: int = 8, prefer_deep: bool = False
) -> tuple[PathObject, ...]:
    """Objects, parents before children; each under one of those before it, or under the last where it is deep."""
    ids = draw(st.lists(st.uuids(), min_size=1, max_size=max_size, unique=True))
    objects: list[PathObject] = []
    for number, object_id in enumerate(ids):
        parent = ids[number - 1] if prefer_deep and number else draw(st.sampled_from([None, *ids[:number]]))
        objects.append(draw(path_objects(object_id, parent, shapes)))
    return tuple(objects)


@st.composite
def tile_tables(draw: st.DrawFn, parents: tuple[UUID | None, ...], taken: frozenset[UUID]) -> TileTable:
    """Up to 40 tiles under some of the objects that are there: enough for runs of several rows."""
    n = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    given_classes = tuple(dict.fromkeys(draw(st.lists(classes.filter(bool), max_size=3))))
    columns = tuple(draw(st.lists(names, max_size=3, unique=True)))
    corners = rng.integers(-4096, 4096, (n, 2)) / 4
    values = rng.standard_normal((n, len(columns))).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    table = TileTable(
        ids=rng.integers(0, 256, (n, 16), dtype=np.uint8),
        bounds=np.hstack((corners, corners + rng.integers(1, 512, (n, 2)))),
        classes=given_classes,  # type: ignore[arg-type]
        class_index=rng.integers(-1, len(given_classes), n).astype(np.int32),
        names=columns,
        values=values,
        parent_ids=parents,
        parent_index=rng.integers(0, len(parents), n).astype(np.int32),
    )
    assume(not taken & {UUID(bytes=row.tobytes()) for row in table.ids})
    return table
