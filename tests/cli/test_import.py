"""Objects of a GeoJSON file in a project."""

from __future__ import annotations

import csv
import gzip
import json
import math
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from qupath.native.samples import same
from shapely import Point

from her2qp import export_objects, import_objects
from her2qp.exchange import ExportFormat
from her2qp.qupath import open_project
from her2qp.qupath.classes import pack_rgb
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ImagePlane, ObjectType, PathObject
from her2qp.qupath.rois import make_roi, rectangle

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [64, 0], [64, 64], [0, 64], [0, 0]]]}
REGION = UUID(int=10)


@pytest.fixture(params=["native", pytest.param("paquo", marks=pytest.mark.qupath)])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "paquo":
        request.getfixturevalue("qupath_dir")
    return str(request.param)


def features(count: int) -> list[dict[str, object]]:
    """An annotation, tiles in it that are written alike, and a point under the first tile."""
    region = {"type": "Feature", "id": str(REGION), "geometry": SQUARE, "properties": {"objectType": "annotation"}}
    tiles = [
        {
            "type": "Feature",
            "id": str(UUID(int=100 + row)),
            "parentId": str(REGION),
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[row, 0], [row + 2, 0], [row + 2, 2], [row, 2], [row, 0]]],
            },
            "properties": {
                "objectType": "tile",
                "classification": {"name": "HER2 3+", "color": [200, 0, 0]},
                "measurements": {"HER2 attention": row / count},
            },
        }
        for row in range(count)
    ]
    point = {
        "type": "Feature",
        "id": str(UUID(int=7)),
        "parentId": str(UUID(int=100)),
        "geometry": {"type": "Point", "coordinates": [1, 1]},
        "properties": {"objectType": "detection"},
    }
    return [region, *tiles, point]


@pytest.mark.parametrize("golden", ["0.3.2", "0.7.0"], indirect=True)
def test_tiles_are_imported_once_with_their_ids_and_parents(golden: Path, tmp_path: Path) -> None:
    file = tmp_path / "objects.geojson.gz"
    file.write_bytes(gzip.compress(json.dumps(features(500)).encode()))
    with open_project(golden / "project") as project:
        name, before = project.images[2].name, len(project.images[2].tiles())
    assert import_objects(golden / "project", file, image=name, backend="native") == 502
    assert import_objects(golden / "project", file, image=name, backend="native") == 0
    with open_project(golden / "project", backend="native") as project:
        tiles = project.image(name).tiles()
        others = {obj.id: obj for obj in project.image(name).hierarchy.objects_but_rows()}
    rows = np.flatnonzero((tiles.ids[:, :14] == 0).all(axis=1))
    assert (len(tiles), len(rows)) == (before + 500, 500)
    assert {int.from_bytes(tiles.ids[row].tobytes()) for row in rows} == set(range(100, 600))
    assert {tiles.parent_ids[index] for index in tiles.parent_index[rows]} == {REGION}
    assert {str(tiles.classes[index]) for index in tiles.class_index[rows]} == {"HER2 3+"}
    attention = {int(tiles.bounds[row, 0]): tiles.column("HER2 attention")[row] for row in rows}
    assert attention == {row: np.float32(row / 500) for row in range(500)}
    assert others[UUID(int=7)].parent == UUID(int=100)


@pytest.mark.parametrize("golden", ["0.5.1"], indirect=True)
def test_tiles_go_under_an_annotation_that_the_image_already_has(golden: Path, tmp_path: Path) -> None:
    file = tmp_path / "objects.geojson"
    with open_project(golden / "project") as project:
        name = project.images[2].name
    file.write_text(json.dumps(features(20)[:1]))
    assert import_objects(golden / "project", file, image=name, backend="native") == 1
    file.write_text(json.dumps(features(20)))
    assert import_objects(golden / "project", file, image=name, backend="native") == 21
    with open_project(golden / "project", backend="native") as project:
        tiles = project.image(name).tiles()
    assert sum(tiles.parent_ids[index] == REGION for index in tiles.parent_index) == 20


@pytest.mark.parametrize("golden", ["0.5.1"], indirect=True)
def test_tiles_keep_name_colour_lock_metadata_and_plane_on_their_way_out_and_in(golden: Path, tmp_path: Path) -> None:
    plain = [tile(row) for row in range(12)]  # as many as make the file keep them together
    special = [
        *(replace(tile(row), name="mine") for row in range(100, 112)),
        *(replace(tile(row), locked=True) for row in range(200, 212)),
        *(replace(tile(row), color=pack_rgb(1, 2, 3)) for row in range(300, 312)),
        *(replace(tile(row), metadata={"by": "hand"}) for row in range(400, 412)),
        *(replace(tile(row), roi=make_roi(rectangle(0, 0, 9, 5), ImagePlane(-1, row, 1))) for row in range(500, 512)),
    ]
    with open_project(golden / "project", "r+", "native") as project:
        first, second = project.images[0], project.images[1]
        first.edit(HierarchyEdit(add_objects=(*plain, *special)))
        first.save()
        assert {obj.id for obj in first.hierarchy.tiles_with_more()} == {obj.id for obj in special}
    exported = export_objects(golden / "project", tmp_path, images=[first.name]).files[0][0]
    import_objects(golden / "project", exported, image=second.name, backend="native")
    with open_project(golden / "project", backend="native") as project:
        found = {obj.id: obj for obj in project.image(second.name).hierarchy.objects()}
    assert found.keys() >= {obj.id for obj in plain}
    for made in special:
        assert same(found[made.id], made)


@pytest.mark.parametrize("golden", ["0.5.1"], indirect=True)
@pytest.mark.parametrize("form", ["geojson", "csv"])
def test_objects_below_tiles_keep_their_parents_on_their_way_out_and_in(
    golden: Path, tmp_path: Path, form: ExportFormat
) -> None:
    tiles = [tile(row) for row in range(12)]
    below = [
        replace(tile(20), parent=tiles[7].id),
        replace(tile(21), parent=tile(20).id, locked=True),
        replace(tile(22), parent=tile(21).id),
        replace(tile(23), parent=tile(22).id, type=ObjectType.ANNOTATION),
        replace(tile(24), parent=tiles[3].id, roi=make_roi(Point(1, 1)), type=ObjectType.DETECTION),
    ]
    with open_project(golden / "project", "r+", "native") as project:
        first, second = project.images[0], project.images[1]
        first.edit(HierarchyEdit(add_objects=(*tiles, *below)))
        first.save()
        count = len(first.hierarchy.ids())
    (exported,) = export_objects(golden / "project", tmp_path, images=[first.name], format=form).files
    assert exported[1] == count
    if form == "csv":
        with exported[0].open(encoding="utf-8", newline="") as file:
            parents = {row["Object ID"]: row["Parent ID"] for row in csv.DictReader(file)}
        assert {str(obj.id): str(obj.parent or "") for obj in (*tiles, *below)}.items() <= parents.items()
        return
    import_objects(golden / "project", exported[0], image=second.name, backend="native")
    with open_project(golden / "project", backend="native") as project:
        found = {obj.id: obj for obj in project.image(second.name).hierarchy.objects()}
    for made in (*tiles, *below):
        assert same(found[made.id], made)


MEASURED = [{"a": 1.5, "b": 2.5}, {"b": 3.5}, {}, {"a": 4.5, "b": math.nan}, {"a": 5.5}]


@pytest.mark.parametrize("golden", ["0.5.1"], indirect=True)
def test_measurements_that_some_tiles_lack_stay_absent(golden: Path, tmp_path: Path, backend: str) -> None:
    wanted = {UUID(int=100 + row): MEASURED[row % len(MEASURED)] for row in range(60)}
    file, _, *tiles = tmp_path / "objects.geojson", *features(60)[:-1]
    for feature in tiles:
        measurements = wanted[UUID(str(feature["id"]))]
        words = {name: "NaN" if math.isnan(value) else value for name, value in measurements.items()}
        feature["properties"] = {"objectType": "tile", "measurements": words}
    file.write_text(json.dumps(tiles))
    with open_project(golden / "project") as project:
        name = project.images[0].name
    assert import_objects(golden / "project", file, image=name, backend=backend) == 60
    with open_project(golden / "project", backend=backend) as project:
        found = {obj.id: dict(obj.measurements) for obj in project.image(name).hierarchy.objects() if obj.id in wanted}
    assert {key: str(values) for key, values in found.items()} == {key: str(v) for key, v in wanted.items()}


def tile(row: int) -> PathObject:
    """A rectangular tile without anything of its own."""
    return PathObject(UUID(int=5000 + row), ObjectType.TILE, make_roi(rectangle(row, 0, row + 9, 9)))
