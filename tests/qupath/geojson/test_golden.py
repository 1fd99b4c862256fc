"""What QuPath exported is read as QuPath itself reads it back."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest
import shapely

from her2qp.qupath.geojson import read_geojson, write_geojson
from her2qp.qupath.objects import ObjectType, PathObject, RoiKind

KINDS = {
    "qupath-brush.json": (RoiKind.POLYGON, "brush"),
    "qupath-ellipse.json": (RoiKind.POLYGON, "ellipse"),
    "qupath-line.json": (RoiKind.LINE, "line"),
    "qupath-multipoint.json": (RoiKind.POINTS, "multipoint"),
    "qupath-point.json": (RoiKind.POINTS, "point"),
    "qupath-polygon.json": (RoiKind.POLYGON, "polygon"),
    "qupath-polyline.json": (RoiKind.POLYLINE, "polyline"),
    "qupath-rectangle.json": (RoiKind.RECTANGLE, "rectangle"),
    "qupath-wand.json": (RoiKind.POLYGON, "wand"),
    "qupath_core_polygon.geojson": (RoiKind.GEOMETRY, None),
}
TYPES = {
    "PathAnnotationObject": ObjectType.ANNOTATION,
    "PathDetectionObject": ObjectType.DETECTION,
    "PathTileObject": ObjectType.TILE,
    "PathCellObject": ObjectType.CELL,
}


@pytest.mark.parametrize("name", KINDS)
def test_files_of_old_versions(shared: Path, name: str) -> None:
    (obj,) = read_geojson(shared / "data" / "geojson" / name)
    assert (obj.roi.kind if obj.roi else None, obj.name) == KINDS[name]
    assert obj.type is ObjectType.ANNOTATION
    source = json.loads((shared / "data" / "geojson" / name).read_text())
    expected = shapely.from_geojson(json.dumps(source.get("geometry", source)))
    assert obj.geometry.equals(expected)


def test_classified_cells_of_an_old_version(shared: Path) -> None:
    objects = list(read_geojson(shared / "data" / "geojson" / "qupath-polygon-cell-classified.json"))
    assert [str(obj.path_class) for obj in objects] == ["Cell", "Cell", "Nucleus", "Nucleus"]
    assert [obj.name for obj in objects] == ["Erythrocytes 2", "Erythrocytes 1", "Neutrophils 1", "Neutrophils 2"]
    assert len({obj.id for obj in objects}) == 4


@pytest.mark.parametrize("image", range(3))
@pytest.mark.parametrize("file", ["export_{}.geojson", "gson_{}.json"])
def test_exports_hold_what_the_reference_says(golden: Path, image: int, file: str) -> None:
    reference = json.loads((golden / "reference.json").read_text(encoding="utf-8"))
    is_old = reference["qupath"] == "0.3.2"
    expected = reference["images"][image]["objects"]
    objects = list(read_geojson(golden / file.format(image)))
    assert len(objects) == len(expected)
    for obj, truth in zip(objects, expected, strict=True):
        assert obj.type is TYPES[truth["type"]]
        assert str(obj.path_class or "") == (truth["cls"] or "")
        assert obj.name == truth["name"]
        assert obj.locked == truth["locked"]
        assert obj.roi is not None
        if not (is_old and truth["roi"] == "EllipseROI"):  # 0.3 does not export that it is one
            assert obj.roi.kind == truth["roi"]
        assert [obj.roi.plane.c, obj.roi.plane.z, obj.roi.plane.t] == truth["plane"]
        assert is_old or str(obj.id) == truth["id"]
        _same_measurements(obj, truth["measurements"])
        _same_shape(obj.geometry, shapely.from_wkt(truth["wkt"]))
        assert (obj.nucleus is not None) == (truth["nucleus"] is not None)
        if not is_old and reference["qupath"] != "0.4.4":
            assert obj.description == truth["description"]


def _same_measurements(obj: PathObject, expected: dict[str, float]) -> None:
    assert list(obj.measurements) == list(expected)
    for name, value in expected.items():
        assert obj.measurements[name] == value or (math.isnan(obj.measurements[name]) and math.isnan(value))


def _same_shape(shape: shapely.Geometry, expected: shapely.Geometry) -> None:
    assert shapely.get_dimensions(shape) == shapely.get_dimensions(expected)
    if expected.area:
        assert shape.symmetric_difference(expected).area <= 0.01 * expected.length
    else:
        assert shape.hausdorff_distance(expected) <= 0.01


def test_what_qupath_exported_survives_our_writing(golden: Path, tmp_path: Path) -> None:
    objects = list(read_geojson(golden / "export_0.geojson"))
    assert write_geojson(tmp_path / "again.geojson.gz", objects) == len(objects)
    again = list(read_geojson(tmp_path / "again.geojson.gz"))
    for old, new in zip(objects, again, strict=True):
        assert (old.id, old.type, old.path_class, old.name, old.locked) == (
            new.id, new.type, new.path_class, new.name, new.locked,
        )  # fmt: skip
        assert old.roi is not None
        assert new.roi is not None
        assert (old.roi.kind, old.roi.plane) == (new.roi.kind, new.roi.plane)
        assert old.geometry.equals_exact(new.geometry, 0.006)
        assert {k: v for k, v in old.measurements.items() if not math.isnan(v)} == new.measurements
    with gzip.open(tmp_path / "again.geojson.gz", "rt", encoding="utf-8") as file:
        assert len(json.load(file)["features"]) == len(objects)
