from __future__ import annotations

import csv
import gzip
import io
import math
from pathlib import Path
from uuid import UUID

import numpy as np
from shapely import Polygon, box

from her2qp.qupath.classes import PathClass
from her2qp.qupath.geojson import write_csv
from her2qp.qupath.objects import ObjectType, PathObject, TileTable
from her2qp.qupath.rois import make_roi

PARENT = UUID(int=1)


def some_objects() -> list[PathObject]:
    return [
        PathObject(
            PARENT,
            ObjectType.ANNOTATION,
            make_roi(box(0, 0, 40, 20)),
            PathClass(("Tumor", "Positive")),
            name='a "name", with\nall',
            measurements={"m": 0.1, "nan": math.nan},
        ),
        PathObject(UUID(int=2), ObjectType.DETECTION, make_roi(Polygon([(0, 0), (3, 0), (0, 3)])), parent=PARENT),
        PathObject(UUID(int=3), ObjectType.ANNOTATION, None),
    ]


def some_tiles() -> TileTable:
    return TileTable(
        ids=np.arange(32, dtype=np.uint8).reshape(2, 16),
        bounds=np.array([[0, 0, 256, 256], [256, 0.5, 512, 256.5]]),
        classes=(PathClass(("HER2 3+",)),),
        class_index=np.array([0, -1], np.int32),
        names=("m", "HER2 p(0)"),
        values=np.array([[0.1, 0.25], [np.nan, np.inf]], np.float32),
        parent_ids=(None, PARENT),
        parent_index=np.array([1, 0], np.int32),
    )


def test_one_row_an_object_in_columns_of_all_measurements() -> None:
    file = io.StringIO()
    assert write_csv(file, iter(some_objects()), some_tiles()) == 5
    file.seek(0)
    rows = list(csv.DictReader(file))
    assert list(rows[0])[-3:] == ["m", "nan", "HER2 p(0)"]
    first, second, third, tile, last = rows
    assert first["Name"] == 'a "name", with\nall'
    assert (first["Classification"], first["ROI"], first["m"], first["nan"]) == (
        "Tumor: Positive",
        "RectangleROI",
        "0.1",
        "",
    )
    assert (first["Centroid X px"], first["X max px"], first["Y max px"]) == ("20", "40", "20")
    assert (second["Parent ID"], second["Centroid X px"]) == (str(PARENT), "1")
    assert (third["Object ID"], third["ROI"], third["X min px"]) == (str(UUID(int=3)), "", "")
    assert tile["Object ID"] == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert (tile["Object type"], tile["Classification"], tile["Parent ID"]) == ("tile", "HER2 3+", str(PARENT))
    assert (tile["m"], tile["HER2 p(0)"], tile["nan"]) == ("0.1", "0.25", "")
    assert (last["m"], last["HER2 p(0)"], last["Centroid Y px"], last["Parent ID"]) == ("", "inf", "128.5", "")


def test_compressed_and_empty_tables(tmp_path: Path) -> None:
    assert write_csv(tmp_path / "table.csv.gz", []) == 0
    with gzip.open(tmp_path / "table.csv.gz", "rt") as file:
        assert file.read().startswith("Object ID,Object type,")
