"""What is written is read back; what an edit does not name stays; an edit and its inverse leave no trace."""

from __future__ import annotations

import math
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from qupath.native.samples import (
    HER2,
    SERVER,
    TUMOR,
    empty_data,
    new_id,
    rich_objects,
    same,
    tile_table,
)
from shapely import Polygon

from her2qp.errors import InvalidEditError
from her2qp.qupath import QpData
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ImagePlane, ImageType, ObjectType, PathObject, Roi, RoiKind, TileTable
from her2qp.qupath.rois import make_roi, rectangle


def reread(data: QpData) -> QpData:
    raw = data.to_bytes()
    again = QpData.from_bytes(raw)
    assert again.to_bytes() == raw
    return again


def rich_data() -> QpData:
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=rich_objects()))
    return data


@pytest.fixture(params=["made here", "0.3.2", "0.5.1", "0.7.0"])
def original(request: pytest.FixtureRequest) -> bytes:
    """A file with objects of all kinds: our own, or one of QuPath's."""
    if request.param == "made here":
        return rich_data().to_bytes()
    shared: Path = request.getfixturevalue("shared")
    return (shared / "golden" / request.param / "project/data/1/data.qpdata").read_bytes()


def test_every_kind_of_object_is_read_back() -> None:
    found = {obj.id: obj for obj in reread(rich_data()).objects()}
    assert len(found) == len(rich_objects())
    for wanted in rich_objects():
        assert same(wanted, found[wanted.id]), wanted


def test_a_new_file_says_what_it_was_given() -> None:
    data = reread(empty_data())
    assert (data.image_type, data.qupath_version, data.server) == (ImageType.BRIGHTFIELD_H_E, "0.5.1", SERVER)
    assert not data.annotations
    assert len(data.tiles()) == 0


@pytest.mark.parametrize("n", [1, 2, 3, 5000])
def test_tiles_in_bulk_are_the_tiles_one_by_one(n: int) -> None:
    table = tile_table(n, (None,), unclassified=True, gaps=True)
    bulk = empty_data()
    bulk.apply(HierarchyEdit(add_tiles=table))
    order = np.lexsort((*np.isnan(table.values).T[::-1], table.class_index < 0))
    single = [
        PathObject(
            id=UUID(bytes=table.ids[row].tobytes()),
            type=ObjectType.TILE,
            roi=Roi(RoiKind.RECTANGLE, rectangle(*table.bounds[row])),
            path_class=None if table.class_index[row] < 0 else table.classes[table.class_index[row]],
            measurements={
                name: value
                for name, value in zip(table.names, table.values[row].tolist(), strict=True)
                if not math.isnan(value)
            },
        )
        for row in order
    ]
    one_by_one = empty_data()
    one_by_one.apply(HierarchyEdit(add_objects=tuple(single)))
    assert bulk.to_bytes() == one_by_one.to_bytes()
    assert_same_table(reread(bulk).tiles(), table)


def assert_same_table(found: TileTable, wanted: TileTable) -> None:
    """The same tiles in any order."""
    assert len(found) == len(wanted)
    rows, others = (np.lexsort(table.ids.T) for table in (found, wanted))
    np.testing.assert_array_equal(found.ids[rows], wanted.ids[others])
    np.testing.assert_array_equal(found.bounds[rows], wanted.bounds[others])
    for name, values in zip(wanted.names, wanted.values.T, strict=True):
        there = found.column(name) if name in found.names else np.full(len(found), np.nan)
        np.testing.assert_array_equal(there[rows], values[others])
    classes, parents = (
        [
            [None if i < 0 else values[i] for i in index[order]]
            for values, index, order in (
                (getattr(found, one), getattr(found, two), rows),
                (getattr(wanted, one), getattr(wanted, two), others),
            )
        ]
        for one, two in (("classes", "class_index"), ("parent_ids", "parent_index"))
    )
    assert classes[0] == classes[1]
    assert parents[0] == parents[1]


def test_adding_and_removing_leaves_no_trace(original: bytes) -> None:
    data = QpData.from_bytes(original)
    before = list(data.objects())
    annotations = [obj.id for obj in before if obj.type is ObjectType.ANNOTATION]
    table = tile_table(300, (None, *annotations[:3]), unclassified=True, gaps=True)
    marks = dict.fromkeys(("HER2 tiles", "HER2 p(0)"), 1.5)
    data.apply(HierarchyEdit(add_tiles=table, set_measurements=dict.fromkeys(annotations, marks)))
    data = reread(data)
    assert data.count()[ObjectType.TILE] == 300 + sum(obj.type is ObjectType.TILE for obj in before)
    for obj in data.annotations:
        assert {name: obj.measurements[name] for name in marks} == marks

    ours = frozenset(UUID(bytes=row.tobytes()) for row in table.ids)
    data.apply(HierarchyEdit(remove=ours, drop_measurements={one: frozenset(marks) for one in annotations}))
    assert data.to_bytes() == original


def test_an_edit_touches_only_what_it_names(original: bytes) -> None:
    data = QpData.from_bytes(original)
    before = {obj.id: obj for obj in data.objects()}
    target = next(obj.id for obj in before.values() if obj.type is ObjectType.ANNOTATION)
    data.apply(
        HierarchyEdit(
            set_measurements={target: {"HER2 p(0)": 0.25}},
            add_objects=(PathObject(new_id(99), ObjectType.ANNOTATION, make_roi(rectangle(0, 0, 1, 1)), TUMOR),),
        )
    )
    after = {obj.id: obj for obj in reread(data).objects()}
    assert after.keys() == before.keys() | {new_id(99)}
    assert after[target].measurements["HER2 p(0)"] == 0.25
    for key in before.keys() - {target}:
        assert same(before[key], after[key])


def test_measurements_of_detections_are_set_and_dropped() -> None:
    data = rich_data()
    cell, plain_cell, sibling = new_id(25), new_id(24), new_id(23)
    data.apply(HierarchyEdit(set_measurements={cell: {"new": 2.0, "a": 9.0}, plain_cell: {"first": 1.0}}))
    found = {obj.id: dict(obj.measurements) for obj in reread(data).objects()}
    assert found[cell] == {"a": 9.0, "new": 2.0}
    assert found[plain_cell] == {"first": 1.0}
    assert found[sibling] == {"a": 0.25, "z": np.inf}
    undo = {cell: frozenset({"new"}), plain_cell: frozenset({"first"})}
    data.apply(HierarchyEdit(drop_measurements=undo, set_measurements={cell: {"a": -1.5}}))
    assert data.to_bytes() == rich_data().to_bytes()


def test_children_of_a_removed_object_move_up_in_its_place() -> None:
    data = rich_data()
    data.apply(HierarchyEdit(remove=frozenset({new_id(20), new_id(21)})))
    data = reread(data)
    assert next(obj for obj in data.objects() if obj.id == new_id(22)).parent is None
    assert data.count().total() == len(rich_objects()) - 2


def test_our_tiles_are_removed_from_between_foreign_ones() -> None:
    data = rich_data()
    foreign, ours = tile_table(500, seed=1), tile_table(400, seed=2)
    data.apply(HierarchyEdit(add_tiles=foreign))
    without = data.to_bytes()
    data.apply(HierarchyEdit(add_tiles=ours))
    data.apply(HierarchyEdit(remove=frozenset(UUID(bytes=row.tobytes()) for row in ours.ids)))
    assert data.to_bytes() == without


def test_every_second_row_of_a_run_is_removed() -> None:
    data = empty_data()
    table = tile_table(200)
    data.apply(HierarchyEdit(add_tiles=table))
    data = reread(data)
    data.apply(HierarchyEdit(remove=frozenset(UUID(bytes=row.tobytes()) for row in table.ids[::2])))
    kept = reread(data).tiles()
    np.testing.assert_array_equal(kept.ids, table.ids[1::2])
    np.testing.assert_array_equal(kept.values, table.values[1::2])
    assert [kept.classes[i] for i in kept.class_index] == [HER2[i] for i in table.class_index[1::2]]


def test_a_row_of_a_run_can_be_edited_and_be_a_parent() -> None:
    data = empty_data()
    table = tile_table(50)
    data.apply(HierarchyEdit(add_tiles=table))
    data = reread(data)
    row, parent = UUID(bytes=table.ids[30].tobytes()), UUID(bytes=table.ids[40].tobytes())
    child = PathObject(new_id(1), ObjectType.DETECTION, make_roi(rectangle(1, 1, 2, 2)), parent=parent)
    data.apply(HierarchyEdit(set_measurements={row: {"HER2 m0": 7.0}}, add_objects=(child,)))
    data = reread(data)
    assert data.tiles().column("HER2 m0")[30] == 7.0
    assert [obj.parent for obj in data.objects() if obj.type is ObjectType.DETECTION] == [parent]
    assert data.count()[ObjectType.TILE] == 50


def annotation(number: int, **facts: object) -> PathObject:
    given = {"roi": make_roi(rectangle(0, 0, 1, 1)), **facts}
    return PathObject(new_id(number), ObjectType.ANNOTATION, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "edit",
    [
        HierarchyEdit(remove=frozenset({new_id(1000)})),
        HierarchyEdit(set_measurements={new_id(1000): {"a": 1.0}}),
        HierarchyEdit(set_measurements={new_id(20): {" ": 1.0}}),
        HierarchyEdit(add_objects=(annotation(20),)),
        HierarchyEdit(add_objects=(annotation(1001, parent=new_id(1000)),)),
        HierarchyEdit(add_objects=(annotation(1002, parent=new_id(1001)), annotation(1001))),
        HierarchyEdit(add_objects=(annotation(1001, parent=new_id(20)),), remove=frozenset({new_id(20)})),
        HierarchyEdit(add_objects=(annotation(1001, path_class=PathClass(("a:b",))),)),
        HierarchyEdit(add_objects=(annotation(1001, roi=Roi(RoiKind.POLYGON, Polygon())),)),
        HierarchyEdit(add_objects=(annotation(1001, roi=make_roi(rectangle(0, 0, 1, 1), ImagePlane(z=-1))),)),
        HierarchyEdit(add_objects=(annotation(1001, roi=make_roi(Polygon([(0, 0), (1e39, 0), (0, 1)]))),)),
        HierarchyEdit(add_tiles=tile_table(3, (new_id(1000),))),
    ],
    ids=range(12),
)
def test_an_edit_that_does_not_fit_changes_nothing(edit: HierarchyEdit) -> None:
    data = rich_data()
    before = data.to_bytes()
    with pytest.raises(InvalidEditError):
        data.apply(edit)
    assert data.to_bytes() == before


def test_a_deep_hierarchy_is_read_and_edited() -> None:
    depth = 10_000
    chain = tuple(annotation(i, parent=None if i == 0 else new_id(i - 1)) for i in range(depth))
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=chain))
    data = reread(data)
    assert len(data.annotations) == depth
    data.apply(HierarchyEdit(remove=frozenset(obj.id for obj in chain[:-1])))
    assert [(obj.id, obj.parent) for obj in reread(data).annotations] == [(chain[-1].id, None)]


def test_brightfield_needs_rgb() -> None:
    server = {**SERVER, "metadata": {"isRGB": False, "channels": [{}]}}
    with pytest.raises(InvalidEditError, match="not RGB"):
        QpData.create(server, ImageType.BRIGHTFIELD_H_E)
