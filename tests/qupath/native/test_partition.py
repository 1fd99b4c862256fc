"""Objects in the tile table and objects beside it: together all of them, none twice."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from her2qp.qupath.native.qpdata import QpData


def test_table_and_the_other_objects_are_all_objects(golden: Path) -> None:
    for file in sorted((golden / "project" / "data").glob("*/data.qpdata")):
        data = QpData.read(file)
        in_table = {UUID(bytes=row.tobytes()) for row in data.tiles().ids}
        beside = {obj.id for obj in data.objects_but_tiles()}
        assert not in_table & beside
        assert in_table | beside == {obj.id for obj in data.objects()} == data.ids()


def test_path_classes_are_those_of_the_objects(golden: Path) -> None:
    for file in sorted((golden / "project" / "data").glob("*/data.qpdata")):
        data = QpData.read(file)
        assert data.path_classes() == {obj.path_class for obj in data.objects() if obj.path_class is not None}
