"""A real QuPath reads what we write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from shapely import LineString, MultiPoint, Polygon, box

from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.qupath.geojson import write_geojson
from her2qp.qupath.objects import ImagePlane, ObjectType, PathObject, Roi, RoiKind, TileTable
from her2qp.qupath.rois import ellipse, make_roi

READ = """
import json, sys
import paquo.java as java
java.LogManager.setWarn()
objects = java.JClass("qupath.lib.io.PathIO").readObjects(java.JClass("java.io.File")(sys.argv[1]))
print("RESULT" + json.dumps([
    [str(o.getID()) if hasattr(o, "getID") else None, str(o.getClass().getSimpleName()),
     str(o.getROI().getClass().getSimpleName()), str(o.getPathClass()), str(o.getName()), bool(o.isLocked()),
     int(o.getROI().getZ()), {str(e.getKey()): e.getValue().doubleValue() for e in o.getMeasurements().entrySet()}]
    for o in objects
]))
"""


def objects() -> list[PathObject]:
    shapes = {
        RoiKind.RECTANGLE: make_roi(box(1, 2, 30.25, 40)),
        RoiKind.POLYGON: make_roi(Polygon([(0, 0), (10, 0), (5, 10)])),
        RoiKind.LINE: make_roi(LineString([(0, 0), (10, 5)])),
        RoiKind.POLYLINE: make_roi(LineString([(0, 0), (10, 5), (20, 0)])),
        RoiKind.POINTS: make_roi(MultiPoint([(1, 1), (2, 3)])),
        RoiKind.GEOMETRY: make_roi(box(0, 0, 9, 9).difference(box(3, 3, 6, 6)), ImagePlane(-1, 2, 0)),
        RoiKind.ELLIPSE: Roi(RoiKind.ELLIPSE, ellipse(0, 0, 20, 10)),
    }
    return [
        PathObject(
            UUID(int=number),
            ObjectType.ANNOTATION,
            roi,
            PathClass(("Tumor", "Odd")) if number % 2 else None,
            name=f'näme "{number}"',
            locked=number % 2 == 0,
            measurements={"a": 0.5 * number, "none": float("nan")},
        )
        for number, roi in enumerate(shapes.values(), start=1)
    ]


def tiles() -> TileTable:
    return TileTable(
        ids=np.full((1, 16), 7, np.uint8),
        bounds=np.array([[0.5, 0, 256, 256]]),
        classes=(PathClass(("HER2 3+",), pack_rgb(200, 0, 0)),),
        class_index=np.zeros(1, np.int32),
        names=("HER2 p(3+)", "HER2 attention"),
        values=np.array([[0.75, np.nan]], np.float32),
        parent_ids=(UUID(int=1),),
        parent_index=np.zeros(1, np.int32),
    )


@pytest.mark.qupath
@pytest.mark.long
def test_every_kind_of_object(qupath_dir: Path, tmp_path: Path) -> None:
    expected = objects()
    write_geojson(tmp_path / "objects.geojson.gz", expected, tiles())
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "objects.geojson.gz")],
        capture_output=True, text=True, encoding="utf-8", timeout=300, check=True,
    )  # fmt: skip
    *annotations, tile = json.loads(done.stdout.partition("RESULT")[2])
    for obj, found in zip(expected, annotations, strict=True):
        assert obj.roi is not None
        assert found == [
            str(obj.id), "PathAnnotationObject", obj.roi.kind.value, str(obj.path_class) if obj.path_class else "None",
            obj.name, obj.locked, obj.roi.plane.z, {"a": obj.measurements["a"]},
        ]  # fmt: skip
    assert tile[:4] == [str(UUID(bytes=b"\7" * 16)), "PathTileObject", "RectangleROI", "HER2 3+"]
    assert tile[-1] == {"HER2 p(3+)": 0.75}
