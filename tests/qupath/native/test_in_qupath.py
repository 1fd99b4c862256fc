"""A real QuPath reads any hierarchy that we write as the hierarchy that it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, Phase, given, settings
from qupath.conformance import JAVA_TYPES, assert_same_number
from qupath.native.samples import empty_data, rich_objects
from qupath.native.strategies import hierarchies

from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ObjectType, PathObject, Roi, RoiKind

HOW_MANY = 60

PIXELS = 0.02
"""QuPath 0.6 and later round vertices to 0.01 px and keep many as float32; both ways across and down."""

READ = """
import json, sys
import paquo.java as java
java.LogManager.setWarn()
PathIO, File = java.JClass("qupath.lib.io.PathIO"), java.JClass("java.io.File")
text = lambda value: None if value is None else str(value)

def roi(shape):
    if shape is None:
        return None
    plane = [int(shape.getC()), int(shape.getZ()), int(shape.getT())]
    box = [shape.getBoundsX(), shape.getBoundsY(), shape.getBoundsWidth(), shape.getBoundsHeight()]
    wkt = str(shape.getGeometry().toText())
    return [str(shape.getClass().getSimpleName()), plane, [float(side) for side in box], wkt]

def class_names(path_class):
    return [] if path_class is None else [*class_names(path_class.getParentClass()), str(path_class.getName())]

def below(parent):
    for obj in list(parent.getChildObjectsAsArray()):
        list_ = obj.getMeasurementList()
        color = obj.getColor()
        names = list_.getMeasurementNames() if hasattr(list_, "getMeasurementNames") else list_.getNames()
        yield {
            "id": str(obj.getID()), "type": str(obj.getClass().getSimpleName()), "name": text(obj.getName()),
            "parent": None if parent.isRootObject() else str(parent.getID()), "locked": bool(obj.isLocked()),
            "class": class_names(obj.getPathClass()),
            "color": None if color is None else int(color), "probability": float(obj.getClassProbability()),
            "roi": roi(obj.getROI()), "nucleus": roi(obj.getNucleusROI()) if hasattr(obj, "getNucleusROI") else None,
            "missing": bool(obj.isMissing()) if hasattr(obj, "isMissing") else False,
            "metadata": {str(e.getKey()): str(e.getValue()) for e in obj.getMetadata().entrySet()},
            "measurements": [[str(name), float(list_.get(name))] for name in names],
        }
        yield from below(obj)

files = [list(below(PathIO.readHierarchy(File(name)).getRootObject())) for name in sys.argv[2:]]
with open(sys.argv[1], "w", encoding="utf-8") as out:
    json.dump(files, out)
"""


def made_up() -> list[tuple[PathObject, ...]]:
    """Hierarchies that hypothesis builds, the same at every run; and one with everything."""
    found: list[tuple[PathObject, ...]] = [rich_objects()]

    @settings(
        max_examples=HOW_MANY, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(hierarchies(max_size=12) | hierarchies(max_size=12, prefer_deep=True))
    def keep(objects: tuple[PathObject, ...]) -> None:
        found.append(objects)

    keep()
    return found


def in_file_order(objects: tuple[PathObject, ...]) -> list[PathObject]:
    """Parents before their children, siblings in the order in which they were added."""
    ordered: list[PathObject] = []
    pending = [obj for obj in objects if obj.parent is None][::-1]
    while pending:
        ordered.append(pending.pop())
        pending += [obj for obj in objects if obj.parent == ordered[-1].id][::-1]
    return ordered


def assert_same_roi(found: list[Any], wanted: Roi) -> None:
    kind, plane, (x, y, width, height), wkt = found
    assert kind == wanted.kind
    assert plane == [wanted.plane.c, wanted.plane.z, wanted.plane.t]
    np.testing.assert_allclose([x, y, x + width, y + height], wanted.geometry.bounds, rtol=0, atol=PIXELS)
    if wanted.kind is not RoiKind.ELLIPSE:
        shape = shapely.from_wkt(wkt)
        if shape.is_empty and wanted.geometry.area <= PIXELS * wanted.geometry.length:
            return  # a sliver, thinner than the precision of QuPath's geometries
        assert shape.geom_type == wanted.geometry.geom_type
        assert shapely.hausdorff_distance(shape, wanted.geometry) <= PIXELS
        assert abs(shape.area - wanted.geometry.area) <= PIXELS * (1 + shape.length)


def assert_same_object(found: dict[str, Any], wanted: PathObject) -> None:
    assert found["id"] == str(wanted.id)
    assert JAVA_TYPES[found["type"]] is wanted.type
    assert found["parent"] == (None if wanted.parent is None else str(wanted.parent))
    assert (found["name"], found["color"], found["locked"]) == (wanted.name, wanted.color, wanted.locked)
    assert tuple(found["class"]) == (() if wanted.path_class is None else wanted.path_class.names)
    assert found["metadata"] == dict(wanted.metadata)
    assert found["missing"] is wanted.is_missing
    assert_same_number(found["probability"], wanted.class_probability)
    assert [name for name, _ in found["measurements"]] == list(wanted.measurements)
    for (_, value), expected in zip(found["measurements"], wanted.measurements.values(), strict=True):
        assert_same_number(value, float(np.float32(expected)) if wanted.type is not ObjectType.ANNOTATION else expected)
    assert wanted.roi is not None
    assert_same_roi(found["roi"], wanted.roi)
    assert (found["nucleus"] is None) == (wanted.nucleus is None)
    if wanted.nucleus is not None:
        assert_same_roi(found["nucleus"], wanted.nucleus)


@pytest.mark.qupath
@pytest.mark.long
@pytest.mark.usefixtures("qupath_dir")
def test_any_hierarchy_is_read_as_it_is(tmp_path: Path) -> None:
    expected = made_up()
    files = [tmp_path / f"{number}.qpdata" for number in range(len(expected))]
    for file, objects in zip(files, expected, strict=True):
        data = empty_data()
        data.apply(HierarchyEdit(add_objects=objects))
        file.write_bytes(data.to_bytes())
    subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "read.json"), *map(str, files)],
        stdout=subprocess.DEVNULL, timeout=300, check=True,
    )  # fmt: skip
    read = json.loads((tmp_path / "read.json").read_text(encoding="utf-8"))
    assert len(read) == len(expected) > HOW_MANY / 2
    for found, wanted in zip(read, expected, strict=True):
        assert [obj["id"] for obj in found] == [str(obj.id) for obj in in_file_order(wanted)]
        for one, other in zip(found, in_file_order(wanted), strict=True):
            assert_same_object(one, other)
