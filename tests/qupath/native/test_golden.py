"""Files written by QuPath 0.3 to 0.7: read as QuPath reads them, written back byte for byte."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from qupath.conformance import assert_same_objects, reference_images

from her2qp.errors import DataFileError, Her2qpError
from her2qp.qupath import QpData
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ObjectType


def data_files(golden: Path) -> list[Path]:
    return sorted((golden / "project" / "data").glob("*/data.qpdata"))


def test_rewrite_is_byte_identical(golden: Path) -> None:
    files = data_files(golden)
    assert len(files) == 3
    for file in files:
        assert QpData.read(file).to_bytes() == file.read_bytes()


def test_reads_what_qupath_reads(golden: Path) -> None:
    for file, image in zip(data_files(golden), reference_images(golden), strict=True):
        data = QpData.read(file)
        assert_same_objects(data, image)
        assert data.qupath_version == golden.name.removeprefix("golden-")
        assert data.server is not None
        assert data.server["uri"] == image["uri"]
        assert data.count() == Counter(obj.type for obj in data.objects())
        assert data.ids() == {obj.id for obj in data.objects()}


def test_tile_table_is_the_tiles(golden: Path) -> None:
    data = QpData.read(data_files(golden)[0])
    tiles = [obj for obj in data.objects() if obj.type is ObjectType.TILE]
    table = data.tiles()
    assert [UUID(bytes=row.tobytes()) for row in table.ids] == [tile.id for tile in tiles]
    assert table.bounds.tolist() == [list(tile.geometry.bounds) for tile in tiles]
    for row, tile in enumerate(tiles):
        for name, value in tile.measurements.items():
            assert table.column(name)[row] == value


def test_ids_of_files_without_ids_stay_when_objects_are_appended(golden: Path) -> None:
    data = QpData.read(data_files(golden)[2])
    before = [obj.id for obj in data.objects()]
    again = QpData.read(data_files(golden)[2])
    again.apply(HierarchyEdit(set_measurements={before[0]: {"x": 1.0}}))
    assert [obj.id for obj in QpData.from_bytes(again.to_bytes()).objects()] == before


def test_truncation_anywhere_is_refused(shared: Path) -> None:
    data = (shared / "golden/0.5.1/project/data/2/data.qpdata").read_bytes()
    for size in range(len(data)):
        with pytest.raises(DataFileError):
            QpData.from_bytes(data[:size])


def test_damage_is_refused_or_harmless(shared: Path) -> None:
    data = (shared / "golden/0.6.0/project/data/1/data.qpdata").read_bytes()
    refused = 0
    for position in range(0, len(data), 17):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF >> position % 8
        try:
            read = QpData.from_bytes(bytes(damaged))
            list(read.objects())
            read.tiles()
            read.to_bytes()
        except Her2qpError as error:
            assert isinstance(error, DataFileError)
            refused += 1
    assert refused > 100


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"data\.qpdata: cannot be read"):
        QpData.read(tmp_path / "data.qpdata")
