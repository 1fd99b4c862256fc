"""Forms of data that the golden files do not have: TMA grids, connections, what old versions wrote, newer formats."""

from __future__ import annotations

import struct
from collections.abc import Callable
from uuid import UUID

import pytest
from qupath.native.samples import new_id, rich_objects, tile_table
from qupath.native.test_edits import annotation, empty_data, reread, rich_data

from her2qp.errors import DataFileError, InvalidEditError, UnsupportedDataError
from her2qp.qupath import QpData
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.java import (
    ClassData,
    ClassDesc,
    Field,
    Instance,
    Item,
    JavaArray,
    JavaString,
    Stream,
    expand_runs,
    read_stream,
    write_stream,
)
from her2qp.qupath.java.graph import walk
from her2qp.qupath.native import schema
from her2qp.qupath.native.containers import list_values, map_items, new_array_list, new_hash_map, set_map
from her2qp.qupath.native.values import Memo
from her2qp.qupath.native.vocabulary import Vocabulary
from her2qp.qupath.objects import ObjectType, PathObject, RoiKind
from her2qp.qupath.rois import make_roi, rectangle


class Bench:
    """A parsed file on which a test does what QuPath did, or might do."""

    def __init__(self, data: QpData) -> None:
        self.stream: Stream = read_stream(data.to_bytes())
        self.vocabulary = Vocabulary(self.stream.classes, Memo())

    def all(self, class_name: str) -> list[Instance]:
        return [node for node in walk(self.stream.contents) if node.class_name == class_name]

    def result(self) -> QpData:
        raw = write_stream(self.stream.contents)
        data = QpData.from_bytes(raw)
        assert data.to_bytes() == raw
        return data


def cores(n: int) -> QpData:
    data = empty_data()
    roi = make_roi(rectangle(0, 0, 9, 9))
    data.apply(HierarchyEdit(add_objects=tuple(PathObject(new_id(i), ObjectType.TMA_CORE, roi) for i in range(n))))
    return data


def test_tma_cores_come_in_the_order_of_their_grid_and_go_together() -> None:
    bench = Bench(cores(4))
    grid = bench.vocabulary.instance(schema.TMA_GRID)
    grid.set("gridWidth", 2)
    grid.set("gridHeight", 2)
    in_order = list(reversed(bench.all(schema.TMA_CORE)))
    grid.set("cores", new_array_list(in_order, bench.vocabulary.instance))
    bench.all(schema.HIERARCHY)[0].set("tmaGrid", grid)
    data = bench.result()
    assert [core.id for core in data.tma_cores] == [new_id(i) for i in (3, 2, 1, 0)]
    with pytest.raises(InvalidEditError, match="other cores"):
        data.apply(HierarchyEdit(remove=frozenset({new_id(0)})))
    data.apply(HierarchyEdit(remove=frozenset(new_id(i) for i in range(4))))
    assert data.to_bytes() == empty_data().to_bytes()


def connected_tiles() -> QpData:
    """Twenty tiles, each connected with the next, as after a Delaunay triangulation."""
    data = empty_data()
    data.apply(HierarchyEdit(add_tiles=tile_table(20)))
    bench = Bench(data)
    make = bench.vocabulary.instance
    root = bench.all(schema.ROOT)[0]
    run_free = expand_runs(root.content)[5:]
    items = []
    for tile, neighbour in zip(run_free, [*run_free[1:], run_free[0]], strict=True):
        connector = make(schema.CONNECTOR)
        connector.content[:] = [struct.pack(">q", 1), tile, new_array_list([neighbour], make)]
        items.append((tile, connector))
    group = make(schema.CONNECTION_GROUP)
    group.content[:] = [struct.pack(">q", 1), new_hash_map(items, make)]
    connections = make(schema.CONNECTIONS)
    connections.content[:] = [struct.pack(">q", 1), new_array_list([group], make)]
    properties = bench.stream.contents[-2]
    assert isinstance(properties, Instance)
    set_map(properties, [(JavaString.of("OBJECT_CONNECTIONS"), connections)])
    return bench.result()


def test_connections_forget_a_removed_object() -> None:
    data = connected_tiles()
    tiles = [obj.id for obj in data.objects()]
    data.apply(HierarchyEdit(remove=frozenset(tiles[3:5])))
    bench = Bench(reread(data))
    connectors = bench.all(schema.CONNECTOR)
    assert len(connectors) == 18
    assert sorted(len(list_values(one.content[-1])) for one in connectors) == [0] + [1] * 17
    assert len(bench.all(schema.TILE)) == 18


def test_an_object_that_a_property_uses_stays() -> None:
    bench = Bench(rich_data())
    properties = bench.stream.contents[-2]
    assert isinstance(properties, Instance)
    set_map(properties, [(JavaString.of("mine"), bench.all(schema.CELL)[0])])
    data = bench.result()
    with pytest.raises(InvalidEditError, match="property"):
        data.apply(HierarchyEdit(remove=frozenset({new_id(24)})))


def one_annotation(change: Callable[[Bench, list[Item]], None]) -> PathObject:
    """The only annotation of a file after a change of what it wrote."""
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=(annotation(5, measurements={"a": 1.0}, locked=True),)))
    bench = Bench(data)
    change(bench, bench.all(schema.ANNOTATION)[0].content)
    data = bench.result()
    data.apply(HierarchyEdit(set_measurements={data.annotations[0].id: {"b": 2.0}}))
    (found,) = reread(data).annotations
    assert found.measurements == {"a": 1.0, "b": 2.0}
    return found


def test_an_object_without_metadata_has_an_id_all_the_same() -> None:
    first, second = (one_annotation(lambda bench, content: content.pop(2) and None) for _ in range(2))
    assert first.id == second.id != new_id(5)


@pytest.mark.parametrize("text", ["", "no-id", "123", "1-2-3-4-5-6", "x" * 36])
def test_an_id_that_is_none_is_metadata(text: str) -> None:
    def change(bench: Bench, content: list[Item]) -> None:
        values = content[2].content[2]  # type: ignore[union-attr]
        values.elements[0] = JavaString.of(text)  # type: ignore[union-attr]

    assert one_annotation(change).metadata == {"Object ID": text}


@pytest.mark.parametrize("fields", [1, 2])
def test_an_id_as_an_object(fields: int) -> None:
    def change(bench: Bench, content: list[Item]) -> None:
        node = bench.vocabulary.instance(schema.UUID_CLASS)
        node.set("mostSigBits", 1)
        node.set("leastSigBits", -2)
        content[2:3] = [node, struct.pack(">i", fields), *([content[2]] if fields == 2 else [])]

    assert one_annotation(change).id == UUID(int=(1 << 64) | ((1 << 64) - 2))


def test_an_object_of_a_time_without_locks() -> None:
    assert not one_annotation(lambda bench, content: content.pop(5) and None).locked


def test_an_area_roi_has_holes_where_rings_run_the_other_way() -> None:
    outer = [(0, 0), (90, 0), (90, 90), (0, 90)]
    hole = [(10, 10), (10, 80), (80, 80), (80, 10)]
    island = [(20, 20), (30, 20), (30, 30), (20, 30)]

    def change(bench: Bench, content: list[Item]) -> None:
        roi = bench.vocabulary.instance(schema.AREA)
        rings = ClassDesc("[[F", 0x77AA8D1669FE1976, schema.SERIALIZABLE)
        for axis, name in enumerate("xy"):
            columns = [struct.pack(">4f", *(p[axis] for p in ring)) for ring in (outer, hole, island)]
            roi.set(name, JavaArray(rings, [bench.vocabulary.float_array(column) for column in columns]))
        content[7] = roi

    found = one_annotation(change)
    assert found.roi is not None
    assert found.roi.kind is RoiKind.AREA
    assert found.geometry.area == 90 * 90 - 70 * 70 + 10 * 10


def test_a_file_of_an_old_version_names_a_path() -> None:
    bench = Bench(rich_data())
    bench.stream.contents[1] = JavaString.of("Image path: /slides/a.svs")
    data = bench.result()
    assert (data.server, data.qupath_version) == (None, None)
    assert data.count().total() == len(rich_objects())


def newer_header(bench: Bench) -> None:
    bench.stream.contents[0] = b"\x00\x13Data file version 4"


def newer_json(bench: Bench) -> None:
    bench.stream.contents[1] = JavaString.of('{"dataVersion": 4}')


def no_json(bench: Bench) -> None:
    bench.stream.contents[1] = JavaString.of("[" * 100_000)


def other_uid(bench: Bench) -> None:
    bench.all(schema.ANNOTATION)[0].desc.uid = 2


def another_field(bench: Bench) -> None:
    desc = ClassDesc(schema.RECTANGLE, 1, schema.SERIALIZABLE, (Field("D", "angle"),))
    for roi in bench.all(schema.RECTANGLE):
        roi.desc, roi.parts = desc, [ClassData(desc, bytes(8))]


def no_end_mark(bench: Bench) -> None:
    del bench.stream.contents[-1]


def something_after_the_end(bench: Bench) -> None:
    bench.stream.contents.append(JavaString.of("more"))


def no_hierarchy(bench: Bench) -> None:
    bench.stream.contents.remove(bench.all(schema.HIERARCHY)[0])


def no_root(bench: Bench) -> None:
    bench.all(schema.HIERARCHY)[0].set("rootObject", None)


def unknown_object(bench: Bench) -> None:
    bench.all(schema.CELL)[0].desc.name = "org.example.Nucleus"


def object_twice(bench: Bench) -> None:
    content = bench.all(schema.ROOT)[0].content
    content[6] = content[5]


def own_ancestor(bench: Bench) -> None:
    root = bench.all(schema.ROOT)[0]
    root.content[5] = root


def too_few_children(bench: Bench) -> None:
    bench.all(schema.ROOT)[0].content.pop()


def too_many_children(bench: Bench) -> None:
    bench.all(schema.ROOT)[0].content[4] = struct.pack(">i", 1 << 30)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (newer_header, UnsupportedDataError),
        (newer_json, UnsupportedDataError),
        (no_json, DataFileError),
        (other_uid, UnsupportedDataError),
        (another_field, UnsupportedDataError),
        (no_end_mark, DataFileError),
        (something_after_the_end, DataFileError),
        (no_hierarchy, DataFileError),
        (no_root, DataFileError),
        (unknown_object, UnsupportedDataError),
        (object_twice, DataFileError),
        (own_ancestor, DataFileError),
        (too_few_children, DataFileError),
        (too_many_children, DataFileError),
    ],
)
def test_what_is_refused(change: Callable[[Bench], None], error: type[DataFileError]) -> None:
    bench = Bench(rich_data())
    change(bench)
    with pytest.raises(error) as caught:
        QpData.from_bytes(write_stream(bench.stream.contents), where="data.qpdata")
    assert str(caught.value).startswith("data.qpdata: ")


def test_properties_survive_edits() -> None:
    bench = Bench(rich_data())
    properties = bench.stream.contents[-2]
    assert isinstance(properties, Instance)
    numbers = new_array_list([bench.vocabulary.integer(i) for i in range(100)], bench.vocabulary.instance)
    set_map(properties, [(JavaString.of("numbers"), numbers), (JavaString.of("text"), JavaString.of("ä" * 70_000))])
    data = bench.result()
    data.apply(HierarchyEdit(add_tiles=tile_table(50), remove=frozenset({new_id(20)})))
    kept = Bench(reread(data)).stream.contents[-2]
    assert isinstance(kept, Instance)
    (_, found), (_, text) = map_items(kept)
    assert [value.get("value") for value in list_values(found)] == list(range(100))  # type: ignore[union-attr]
    assert isinstance(text, JavaString)
    assert text.text == "ä" * 70_000
