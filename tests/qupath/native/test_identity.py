"""Objects keep their ids whatever happens to their neighbours, those included to which the file gives none."""

from __future__ import annotations

from uuid import UUID

import pytest
from qupath.native.samples import empty_data, new_id, tile_table, without_ids
from qupath.native.test_edits import annotation, reread

from her2qp.qupath import QpData
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ObjectType, PathObject
from her2qp.qupath.rois import make_roi, rectangle


def drawn_in_old_qupath(*objects: PathObject) -> QpData:
    """A file with objects that have no ids, which are called by their names."""
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=objects))
    return QpData.from_bytes(without_ids(data.to_bytes(), {obj.id for obj in objects}))


def drawing(number: int, parent: int | None = None) -> PathObject:
    return annotation(number, name=str(number), parent=None if parent is None else new_id(parent))


def ids_by_name(data: QpData) -> dict[str | None, UUID]:
    return {obj.name: obj.id for obj in data.objects() if obj.type is ObjectType.ANNOTATION}


def test_what_is_drawn_after_our_tiles_keeps_its_id_when_they_go() -> None:
    data = drawn_in_old_qupath(drawing(0), drawing(1))
    parent = ids_by_name(data)["0"]
    ours = tile_table(50, (None, parent))
    data.apply(HierarchyEdit(add_tiles=ours))
    hers = annotation(2, name="2", parent=parent), annotation(3, name="3")
    data.apply(HierarchyEdit(add_objects=hers))
    data = QpData.from_bytes(without_ids(data.to_bytes(), {new_id(2), new_id(3)}))
    before = ids_by_name(data)
    assert len(set(before.values())) == 4
    data.apply(HierarchyEdit(remove=frozenset(UUID(bytes=row.tobytes()) for row in ours.ids)))
    assert ids_by_name(reread(data)) == before
    drawn_at_once = drawn_in_old_qupath(drawing(0), drawing(1), drawing(2, parent=0), drawing(3))
    assert data.to_bytes() == drawn_at_once.to_bytes()


@pytest.mark.parametrize("gone", ["0", "1", "3"])
def test_an_object_that_takes_the_place_of_another_keeps_its_own_id(gone: str) -> None:
    data = drawn_in_old_qupath(drawing(0), drawing(1), drawing(2, 1), drawing(3, 1), drawing(4, 3), drawing(5))
    before = ids_by_name(data)
    data.apply(HierarchyEdit(remove=frozenset({before[gone]})))
    data = reread(data)
    assert ids_by_name(data) == {name: one for name, one in before.items() if name != gone}

    data.apply(HierarchyEdit(add_objects=(annotation(6, name="6"), annotation(7, name="7"))))
    data = QpData.from_bytes(without_ids(data.to_bytes(), {new_id(6), new_id(7)}))
    after = ids_by_name(data)
    assert len(set(after.values())) == len(after)
    assert {name: one for name, one in before.items() if name != gone}.items() < after.items()


def test_an_id_is_written_only_where_it_would_change() -> None:
    data = drawn_in_old_qupath(*(drawing(i) for i in range(3)))
    before = ids_by_name(data)
    data.apply(HierarchyEdit(remove=frozenset({before["1"]})))
    assert [str(one).encode() in data.to_bytes() for one in before.values()] == [False, False, True]


def test_metadata_stays_when_an_id_joins_it() -> None:
    data = drawn_in_old_qupath(drawing(0), drawing(1))
    data.apply(HierarchyEdit(add_objects=(annotation(2, name="2", metadata={"Object ID": "", "key": "value"}),)))
    data = QpData.from_bytes(data.to_bytes().replace(str(new_id(2)).encode(), b"-" * 36))
    before = ids_by_name(data)
    data.apply(HierarchyEdit(remove=frozenset({before["0"]})))
    kept = reread(data).annotations
    assert [(obj.id, dict(obj.metadata)) for obj in kept] == [(before["1"], {}), (before["2"], {"key": "value"})]


def test_rows_of_a_run_keep_their_ids() -> None:
    roi = make_roi(rectangle(0, 0, 3, 4))
    data = drawn_in_old_qupath(*(PathObject(new_id(i), ObjectType.DETECTION, roi) for i in range(40)))
    before = [obj.id for obj in data.objects()]
    data.apply(HierarchyEdit(remove=frozenset({before[20]})))
    assert [obj.id for obj in reread(data).objects()] == before[:20] + before[21:]
    assert len(set(before)) == 40
