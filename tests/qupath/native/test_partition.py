"""Rows of the tile table and objects beside them: together all objects, none twice."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from qupath.native.samples import empty_data, tile_table

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
