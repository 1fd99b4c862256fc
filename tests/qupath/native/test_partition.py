"""Rows of the tile table and objects beside them: together all objects, none twice."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

from qupath.native.samples import empty_data, tile_table

from her2qp.errors import DataFileError
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.tiletables import objects_of


def test_table_and_the_other_objects_are_all_objects(golden: Path) -> None:
    for file in sorted((golden / "project" / "data").glob("*/data.qpdata")):
        data = QpData.read(file)
        beside = {obj.id for obj in data.objects_but_rows()}
        parents = {obj.parent for obj in data.objects()}
        rows = {obj.id for obj in objects_of(data.tiles()) if obj.id not in parents}
        rows -= {obj.id for obj in data.tiles_with_more()}
        assert not rows & beside
        assert rows | beside == {obj.id for obj in data.objects()} == data.ids()


def test_path_classes_are_those_of_the_objects(golden: Path) -> None:
    for file in sorted((golden / "project" / "data").glob("*/data.qpdata")):
        data = QpData.read(file)
        assert data.path_classes() == {obj.path_class for obj in data.objects() if obj.path_class is not None}


def test_a_tile_whose_id_is_none_keeps_it_as_metadata_also_among_others() -> None:
    tiles = tile_table(40)
    data = empty_data()
    data.apply(HierarchyEdit(add_tiles=tiles))
    written = str(UUID(bytes=tiles.ids[25].tobytes())).encode()
    damaged = b"?" + written[1:]
    data = QpData.from_bytes(data.to_bytes().replace(written, damaged))
    assert [obj.metadata for obj in data.tiles_with_more()] == [{"Object ID": damaged.decode()}]


def test_a_damaged_reference_is_read_alike_in_a_row_and_in_an_object() -> None:
    data = empty_data()
    data.apply(HierarchyEdit(add_tiles=tile_table(40)))
    raw = data.to_bytes()
    references = [match.span() for match in re.finditer(rb"\x71\x00\x7e..", raw, re.DOTALL)]
    read = 0
    for start, stop in references[72:96]:
        for number in range(10):
            handle = b"\x71\x00\x7e" + number.to_bytes(2, "big")
            try:
                damaged = QpData.from_bytes(raw[:start] + handle + raw[stop:])
                rows = {obj.id: obj.path_class for obj in objects_of(damaged.tiles())}
                beside = {obj.id: obj.path_class for obj in damaged.objects()}
            except DataFileError:
                continue
            read += 1
            assert rows == {name: beside[name] for name in rows}
    assert read > 20
