"""Anything that can be written is read back the same."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from qupath.native.samples import empty_data, new_id, same
from qupath.native.strategies import LONG, hierarchies, numbers, words

from her2qp.qupath import QpData
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ObjectType, PathObject
from her2qp.qupath.rois import make_roi, rectangle

LONG_TEXTS = PathObject(
    new_id(1),
    ObjectType.ANNOTATION,
    make_roi(rectangle(0, 0, 1, 1)),
    PathClass((LONG, "Positive")),
    name=LONG,
    metadata={LONG: LONG},
    measurements={LONG: 1.0},
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(hierarchies() | hierarchies(prefer_deep=True))
@example((LONG_TEXTS,))
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
