"""Anything that can be written is read back the same."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qupath.native.samples import empty_data, same
from shapely import LineString, MultiPoint, Point, Polygon, box

from her2qp.qupath import QpData
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.native.records import OBJECT_ID_KEY
from her2qp.qupath.objects import ImagePlane, ObjectType, PathObject, Roi, RoiKind
from her2qp.qupath.rois import ellipse, make_roi

coordinates = st.integers(-(2**20), 2**20).map(lambda n: n / 8)
points = st.tuples(coordinates, coordinates)
planes = st.builds(ImagePlane, st.integers(-1, 5), st.integers(0, 5), st.integers(0, 5))
extents = st.tuples(coordinates, coordinates, st.integers(1, 9999), st.integers(1, 9999)).map(
    lambda e: (e[0], e[1], e[0] + e[2], e[1] + e[3])
)
triangles = st.tuples(points, points, points).map(Polygon).filter(lambda p: p.area > 0)
rois = st.one_of(
    st.builds(make_roi, extents.map(lambda e: box(*e)), planes),
    st.builds(lambda e, plane: Roi(RoiKind.ELLIPSE, ellipse(*e), plane), extents, planes),
    st.builds(make_roi, triangles, planes),
    st.builds(make_roi, st.lists(points, min_size=2, max_size=9).map(MultiPoint) | points.map(Point), planes),
    st.builds(make_roi, st.lists(points, min_size=2, max_size=9, unique=True).map(LineString), planes),
    st.builds(lambda a, b: make_roi(a.difference(b)), triangles, triangles).filter(
        lambda roi: not roi.geometry.is_empty
    ),
)
texts = st.text(max_size=20)
keys = texts.filter(lambda key: key != OBJECT_ID_KEY)
words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)
classes = st.none() | st.builds(PathClass, st.lists(words, min_size=1, max_size=3).map(tuple))
numbers = st.floats(width=32)


@st.composite
def hierarchies(draw: st.DrawFn) -> tuple[PathObject, ...]:
    ids = draw(st.lists(st.uuids(), min_size=1, max_size=8, unique=True))
    objects = []
    for i, object_id in enumerate(ids):
        kind = draw(st.sampled_from(ObjectType))
        objects.append(
            PathObject(
                id=object_id,
                type=kind,
                roi=draw(rois),
                path_class=draw(classes),
                name=draw(st.none() | texts),
                color=draw(st.none() | st.integers(-(2**31), 2**31 - 1)),
                locked=draw(st.booleans()),
                metadata=draw(st.dictionaries(keys, texts, max_size=3)),
                measurements=draw(st.dictionaries(words, numbers, max_size=4)),
                class_probability=draw(st.floats(0, 1) | st.just(float("nan"))),
                parent=draw(st.sampled_from([None, *ids[:i]])),
                nucleus=draw(st.none() | rois) if kind is ObjectType.CELL else None,
                is_missing=draw(st.booleans()) if kind is ObjectType.TMA_CORE else False,
            )
        )
    return tuple(objects)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(hierarchies())
def test_objects_are_read_back_and_removed_without_a_trace(objects: tuple[PathObject, ...]) -> None:
    data = empty_data()
    empty = data.to_bytes()
    data.apply(HierarchyEdit(add_objects=objects))
    data = QpData.from_bytes(data.to_bytes())
    found = {obj.id: obj for obj in data.objects()}
    assert found.keys() == {obj.id for obj in objects}
    for obj in objects:
        assert same(obj, found[obj.id]), (obj, found[obj.id])
    data.apply(HierarchyEdit(remove=frozenset(found)))
    assert data.to_bytes() == empty


@settings(deadline=None, max_examples=25)
@given(hierarchies(), st.data())
def test_measurements_set_and_dropped_leave_no_trace(objects: tuple[PathObject, ...], data_: st.DataObject) -> None:
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=objects))
    before = data.to_bytes()
    target = data_.draw(st.sampled_from([obj.id for obj in objects]))
    marks = {f"HER2 {name}": value for name, value in data_.draw(st.dictionaries(words, numbers, min_size=1)).items()}
    data = QpData.from_bytes(before)
    data.apply(HierarchyEdit(set_measurements={target: marks}))
    data = QpData.from_bytes(data.to_bytes())
    found = next(obj for obj in data.objects() if obj.id == target)
    np.testing.assert_array_equal([found.measurements[name] for name in marks], list(marks.values()))
    data.apply(HierarchyEdit(drop_measurements={target: frozenset(marks)}))
    assert all(same(a, b) for a, b in zip(QpData.from_bytes(before).objects(), data.objects(), strict=True))
    assert data.count() == QpData.from_bytes(before).count()
