"""Cells of another tool, by the hundred: never built, never changed, and missed when they are not what they were."""

from __future__ import annotations

from functools import cache
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qupath.native.samples import HER2, TUMOR, empty_data, new_id, same, tile_table
from qupath.native.test_edits import annotation, reread
from shapely import Polygon

from her2qp.errors import DataFileError
from her2qp.qupath import QpData
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.java import Instance, KnownRun, expand_runs, read_stream
from her2qp.qupath.java.graph import walk
from her2qp.qupath.native.document import Document
from her2qp.qupath.native.entries import Entry
from her2qp.qupath.objects import ObjectType, PathObject
from her2qp.qupath.rois import make_roi, rectangle
from her2qp.qupath.transaction.verify import Expectation

REGION = new_id(0)
NAMES = tuple(f"Nucleus: {i}" for i in range(5))


def cells(n: int, seed: int = 0) -> tuple[PathObject, ...]:
    """Cells and detections of an annotation: with as many vertices as they please, with and without a nucleus, a class,
    a name, measurements."""
    rng = np.random.default_rng(seed)
    objects = [annotation(0)]
    for i in range(1, n + 1):
        shapes = [make_roi(_outline(rng)) for _ in range(2)]
        is_cell = bool(i % 50)
        objects.append(
            PathObject(
                new_id(i),
                ObjectType.CELL if is_cell else ObjectType.DETECTION,
                shapes[0],
                (None, TUMOR, *HER2)[rng.integers(6)],
                name="touched by hand" if i % 37 == 0 else None,
                measurements=dict(zip(NAMES, rng.random(5).tolist(), strict=True)) if i % 11 else {},
                parent=REGION,
                nucleus=shapes[1] if is_cell and i % 5 else None,
            )
        )
    return tuple(objects)


def _outline(rng: np.random.Generator) -> Polygon:
    angles = np.sort(rng.random(int(rng.integers(3, 30)))) * 2 * np.pi
    return Polygon(rng.integers(20, 5000, 2) + 15 * np.column_stack((np.cos(angles), np.sin(angles))))


@cache
def cell_file(n: int = 200) -> bytes:
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=(*cells(n), annotation(n + 1))))
    return data.to_bytes()


def built(raw: bytes) -> QpData:
    """A file in which every object is built."""
    stream = read_stream(raw)
    for node in walk(stream.contents):
        for part in node.parts:
            expand_runs(part.content or [])
    return QpData(Document(stream))


def n_in_runs(data: QpData) -> int:
    return sum(len(entry.run) for entry in data.runs)


def test_most_cells_are_left_as_they_are_and_all_are_read() -> None:
    data = QpData.from_bytes(cell_file())
    assert n_in_runs(data) > 150
    assert data.count() == {ObjectType.ANNOTATION: 2, ObjectType.CELL: 196, ObjectType.DETECTION: 4}
    found = {obj.id: obj for obj in data.objects()}
    assert len(found) == len(data.ids()) == 202
    assert all(same(wanted, found[wanted.id]) for wanted in cells(200))
    assert data.path_classes() == {TUMOR, *HER2}


EDITS = {
    "cells removed here and there": HierarchyEdit(remove=frozenset(new_id(i) for i in range(3, 200, 7))),
    "all cells removed": HierarchyEdit(remove=frozenset(new_id(i) for i in range(1, 201))),
    "their annotation removed": HierarchyEdit(remove=frozenset({REGION})),
    "tiles beside them and under one": HierarchyEdit(add_tiles=tile_table(60, (None, REGION, new_id(171)))),
    "an annotation under one": HierarchyEdit(add_objects=(annotation(900, parent=new_id(77)),)),
    "measurements of some": HierarchyEdit(
        drop_measurements={new_id(150): frozenset({NAMES[1]})},
        set_measurements={new_id(100): {NAMES[0]: 1.5}, new_id(102): {"new": 2.0}},
    ),
    "measurements before them": HierarchyEdit(set_measurements={REGION: {"HER2 score": 2.0}}),
    "several at once": HierarchyEdit(
        remove=frozenset({new_id(90), new_id(91), new_id(201)}),
        set_measurements={REGION: {"a": 1.0}, new_id(92): {"b": 1.0}},
        add_tiles=tile_table(40, (REGION,)),
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_does_to_rows_what_it_does_to_objects(name: str) -> None:
    raw, edit = cell_file(), EDITS[name]
    data, objects = QpData.from_bytes(raw), built(raw)
    assert n_in_runs(data) > 150
    assert n_in_runs(objects) == 0
    expectations = [Expectation.of(one).after(edit) for one in (data, objects)]
    data.apply(edit)
    objects.apply(edit)
    written = reread(data)
    assert [repr(obj) for obj in written.objects()] == [
        repr(obj) for obj in QpData.from_bytes(objects.to_bytes()).objects()
    ]
    expectations[0].check(objects)
    for expectation in expectations:
        expectation.check(written)
        with pytest.raises(DataFileError):
            expectation.check(QpData.from_bytes(raw))


@pytest.mark.parametrize("name", EDITS)
def test_what_an_edit_does_not_name_is_compared_without_building_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, edit = QpData.from_bytes(cell_file()), EDITS[name]
    made: list[UUID] = []

    def count(self: QpData, entry: object, row: int) -> PathObject:
        obj = original(self, entry, row)  # type: ignore[arg-type]
        made.append(obj.id)
        return obj

    original = QpData.object_at
    monkeypatch.setattr(QpData, "object_at", count)
    expectation = Expectation.of(data).after(edit)
    data.apply(edit)
    expectation.check(reread(data))
    assert len(made) < 60


@pytest.mark.parametrize("name", EDITS)
def test_a_file_is_the_same_whether_its_runs_were_known_before_or_not(name: str) -> None:
    before = QpData.from_bytes(cell_file())
    known = [KnownRun.of(entry.run) for entry in before.runs]
    before.apply(HierarchyEdit(add_tiles=tile_table(30, (new_id(201),), seed=7)))
    written = before.to_bytes()
    one, other = QpData.from_bytes(written), QpData.from_bytes(written, known=known)
    assert [len(entry.run) for entry in other.runs] == [len(one.run) for one in known]
    for data in (one, other):
        data.apply(EDITS[name])
    assert one.to_bytes() == other.to_bytes()


def test_the_same_bytes_that_refer_to_something_else_are_read_as_they_are() -> None:
    known = [KnownRun.of(entry.run) for entry in QpData.from_bytes(cell_file()).runs]
    renamed = QpData.from_bytes(cell_file().replace(b"Tumor", b"Immun"), known=known)
    assert {str(path_class) for path_class in renamed.path_classes()} == {"Immun", *map(str, HER2)}


@settings(max_examples=25)
@given(st.data())
def test_a_cell_that_is_not_what_it_was_is_noticed(data: st.DataObject) -> None:
    raw = bytearray(cell_file())
    first, last = (raw.index(str(new_id(i)).encode()) for i in (100, 120))
    raw[data.draw(st.integers(first, last))] ^= data.draw(st.integers(1, 255))
    try:
        damaged = QpData.from_bytes(bytes(raw))
        Expectation.of(QpData.from_bytes(cell_file())).check(damaged)
    except DataFileError:
        return  # else it was one of the few bytes that say nothing, such as the names' index
    assert all(map(same, damaged.objects(), QpData.from_bytes(cell_file()).objects()))


def test_what_cells_share_may_not_change_behind_their_back() -> None:
    before = QpData.from_bytes(cell_file())
    expectation = Expectation.of(before)
    tumor = next(node for node in walk(before._document.contents) if is_tumor(node))
    tumor.set("name", None)
    with pytest.raises(DataFileError):
        expectation.check(QpData.from_bytes(before.to_bytes()))


def is_tumor(node: Instance) -> bool:
    return node.class_name.endswith("PathClass") and getattr(node.get("name"), "text", "") == "Tumor"


def test_ids_that_occur_twice_do_not_matter() -> None:
    raw = cell_file().replace(str(new_id(121)).encode(), str(new_id(120)).encode())
    data = QpData.from_bytes(raw)
    expectation = Expectation.of(data).after(EDITS["measurements before them"])
    data.apply(EDITS["measurements before them"])
    expectation.check(reread(data))


def test_tiles_with_and_without_a_class_stay_rows() -> None:
    roi = make_roi(rectangle(0, 0, 8, 8))
    tiles = tuple(
        PathObject(new_id(i), ObjectType.TILE, roi, None if i // 40 % 2 else HER2[i % 4], measurements={"a": float(i)})
        for i in range(800)
    )
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=tiles))
    data = reread(data)
    table = data.tiles()
    assert [UUID(bytes=row.tobytes()) for row in table.ids] == [tile.id for tile in tiles]
    assert [table.classes[i] if i >= 0 else None for i in table.class_index] == [tile.path_class for tile in tiles]
    assert table.column("a").tolist() == list(range(800))
    assert sum(isinstance(entry, Entry) for entry in data._document.index.entries) < 100
