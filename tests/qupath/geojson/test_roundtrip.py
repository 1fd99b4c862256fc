"""What we write, we read back; and it has the form that every QuPath accepts."""

from __future__ import annotations

import io
import json
import math
import tempfile
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import geojson
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import LineString, MultiPoint, Point, Polygon, box

from her2qp.errors import GeoJSONError, ProjectAccessError
from her2qp.qupath.classes import PathClass, default_color, pack_rgb
from her2qp.qupath.geojson import from_feature, read_geojson, to_feature, write_geojson
from her2qp.qupath.objects import (
    DESCRIPTION_KEY,
    ImagePlane,
    ObjectType,
    PathObject,
    Roi,
    RoiKind,
    TileTable,
)
from her2qp.qupath.rois import ellipse, make_roi, rectangle

hundredths = st.integers(-(10**6), 10**8).map(lambda n: n / 100)
colors = st.builds(pack_rgb, *[st.integers(0, 255)] * 3)
words = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
class_parts = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Z"), exclude_characters=":"), min_size=1, max_size=9
)
classes = st.builds(PathClass, st.lists(class_parts, min_size=1, max_size=3).map(tuple), st.none() | colors)
numbers = st.floats(width=32)


@st.composite
def rois(draw: st.DrawFn) -> Roi:
    x, y = draw(hundredths), draw(hundredths)
    width, height = (draw(st.integers(2, 10**6)) / 100 for _ in range(2))
    x1, y1 = round(x + width, 2), round(y + height, 2)
    middle = round((x + x1) / 2, 2)
    shape = draw(
        st.sampled_from(
            [
                rectangle(x, y, x1, y1),
                Polygon([(x, y), (x1, y), (middle, y1)]),
                LineString([(x, y), (x1, y1)]),
                LineString([(x, y), (x1, y1), (x1, y)]),
                Point(x, y),
                MultiPoint([(x, y), (x1, y1)]),
                box(x, y, x + 9, y + 9).difference(box(x + 3, y + 3, x + 6, y + 6)),
                shapely.union_all([box(x, y, x + 1, y + 1), box(x + 2, y, x + 3, y + 1)]),
            ]
        )
    )
    plane = ImagePlane(draw(st.integers(-1, 3)), draw(st.integers(0, 9)), draw(st.integers(0, 9)))
    if draw(st.booleans()) and x1 - x > 1 and y1 - y > 1:
        return Roi(RoiKind.ELLIPSE, ellipse(x, y, x1, y1), plane)
    return make_roi(shape, plane)


@st.composite
def path_objects(draw: st.DrawFn) -> PathObject:
    kind = draw(st.sampled_from(ObjectType))
    return PathObject(
        id=draw(st.uuids()),
        type=kind,
        roi=draw(rois()),
        path_class=draw(st.none() | classes),
        name=draw(st.none() | words),
        color=draw(st.none() | colors),
        locked=draw(st.booleans()),
        metadata=draw(st.dictionaries(words, words, max_size=3)),
        measurements=draw(st.dictionaries(words, numbers, max_size=4)),
        nucleus=draw(st.none() | rois()) if kind is ObjectType.CELL else None,
        is_missing=draw(st.booleans()) if kind is ObjectType.TMA_CORE else False,
    )


def assert_same(new: PathObject, old: PathObject) -> None:
    for field in ("id", "type", "path_class", "name", "color", "locked", "metadata", "is_missing", "parent"):
        assert getattr(new, field) == getattr(old, field), field
    assert new.measurements == {name: value for name, value in old.measurements.items() if math.isfinite(value)}
    for new_roi, old_roi in ((new.roi, old.roi), (new.nucleus, old.nucleus)):
        assert (new_roi is None) == (old_roi is None)
        if new_roi is not None and old_roi is not None:
            assert (new_roi.kind, new_roi.plane) == (old_roi.kind, old_roi.plane)
            assert shapely.normalize(new_roi.geometry).equals_exact(shapely.normalize(old_roi.geometry), 0.011)


def written(objects: list[PathObject], tiles: TileTable | None = None) -> list[dict[str, Any]]:
    file = io.StringIO()
    write_geojson(file, objects, tiles)
    return json.loads(file.getvalue(), parse_constant=pytest.fail)["features"]


def annotation(shape: shapely.Geometry, **more: Any) -> PathObject:
    return PathObject(**{"id": uuid4(), "type": ObjectType.ANNOTATION, "roi": make_roi(shape), **more})


@given(st.lists(path_objects(), max_size=4, unique_by=lambda obj: obj.id), st.sampled_from(["", ".gz"]))
def test_objects_come_back(objects: list[PathObject], suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"objects.geojson{suffix}"
        assert write_geojson(path, objects) == len(objects)
        assert [f.name for f in path.parent.iterdir()] == [path.name]
        again = list(read_geojson(path))
    assert len(again) == len(objects)
    for new, old in zip(again, objects, strict=True):
        assert_same(new, old)


@given(path_objects())
def test_objects_of_the_geojson_package_come_back(obj: PathObject) -> None:
    feature = to_feature(obj)
    assert isinstance(feature, geojson.Feature)
    assert isinstance(feature.geometry, geojson.geometry.Geometry)
    assert_same(from_feature(geojson.loads(geojson.dumps(feature))), obj)


@given(path_objects())
def test_form_that_every_version_accepts(obj: PathObject) -> None:
    (feature,) = written([obj])
    properties = feature["properties"]
    assert UUID(feature["id"]) == obj.id
    assert properties["objectType"] == obj.type.value
    assert properties["object_type"] == ("tma_core" if obj.type is ObjectType.TMA_CORE else obj.type.value)
    assert properties["isLocked"] is obj.locked
    assert None not in properties.values()
    for measurement in properties.get("measurements", []):
        assert math.isfinite(measurement["value"])
    path_class = properties.get("classification")
    assert (path_class is None) == (obj.path_class is None)
    while path_class is not None:
        assert isinstance(path_class["colorRGB"], int)
        path_class = path_class.get("parentClass")
    shape = shapely.from_geojson(json.dumps(feature["geometry"]))
    assert shape.is_valid
    coordinates = shapely.get_coordinates(shape)
    assert (np.round(coordinates, 2) == coordinates).all()
    assert obj.roi is not None
    assert ("plane" in feature["geometry"]) == (obj.roi.plane != ImagePlane())


def random_tiles(rng: np.random.Generator, count: int) -> TileTable:
    corner = rng.uniform(0, 1e5, (count, 2)).round(rng.integers(0, 4))
    values = rng.normal(0, 10.0 ** rng.integers(-6, 12, (count, 3))).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = rng.choice([np.nan, np.inf, -np.inf, 0.0, 1.0])
    return TileTable(
        ids=rng.integers(0, 256, (count, 16), dtype=np.uint8),
        bounds=np.hstack((corner, corner + rng.uniform(1, 512, (count, 2)))),
        classes=(PathClass(("HER2 0",), pack_rgb(1, 2, 3)), PathClass(("A", "100 % {x}"))),
        class_index=rng.integers(-1, 2, count, dtype=np.int32),
        names=("HER2 p(0)", '50 % "x"', "ä"),
        values=values,
        parent_ids=(None, UUID(int=7)),
        parent_index=rng.integers(0, 2, count, dtype=np.int32),
    )


def as_objects(tiles: TileTable) -> list[PathObject]:
    return [
        PathObject(
            id=UUID(bytes=tiles.ids[row].tobytes()),
            type=ObjectType.TILE,
            roi=Roi(RoiKind.RECTANGLE, rectangle(*tiles.bounds[row])),
            path_class=tiles.classes[tiles.class_index[row]] if tiles.class_index[row] >= 0 else None,
            measurements=dict(zip(tiles.names, tiles.values[row].astype(float).tolist(), strict=True)),
            parent=tiles.parent_ids[tiles.parent_index[row]],
        )
        for row in range(len(tiles))
    ]


@pytest.mark.parametrize("seed", range(4))
def test_tiles_in_bulk_are_written_like_single_objects(seed: int) -> None:
    tiles = random_tiles(np.random.default_rng(seed), 60)
    bulk, single = written([], tiles), written(as_objects(tiles))
    assert [list(feature) for feature in bulk] == [list(feature) for feature in single]
    for one, other in zip(bulk, single, strict=True):
        for feature in (one, other):
            for measurement in feature["properties"].get("measurements", []):
                measurement["value"] = np.float32(measurement["value"])
        assert one == other


def test_tiles_come_back_with_their_parents(tmp_path: Path) -> None:
    tiles = random_tiles(np.random.default_rng(5), 40)
    parent = annotation(box(0, 0, 1e6, 1e6), id=UUID(int=7))
    assert write_geojson(tmp_path / "tiles.geojson", [parent], tiles) == 41
    again = list(read_geojson(tmp_path / "tiles.geojson"))
    for new, old in zip(again[1:], as_objects(tiles), strict=True):
        assert_same(new, old)


def test_tile_without_area_is_left_out(tmp_path: Path) -> None:
    tiles = random_tiles(np.random.default_rng(6), 3)
    tiles.bounds[1, 2] = tiles.bounds[1, 0] + 1e-4
    assert write_geojson(tmp_path / "tiles.geojson", [], tiles) == 2
    assert len(list(read_geojson(tmp_path / "tiles.geojson"))) == 2


def test_parents_outside_the_file_are_not_named(tmp_path: Path) -> None:
    parent, child = annotation(box(0, 0, 9, 9)), annotation(box(1, 1, 2, 2))
    grandchild = annotation(box(1, 1, 2, 2), parent=child.id)
    objects = [annotation(box(0, 0, 5, 5), parent=parent.id), child, grandchild]
    write_geojson(tmp_path / "objects.geojson", objects)
    assert [obj.parent for obj in read_geojson(tmp_path / "objects.geojson")] == [None, None, child.id]


def test_self_intersecting_polygon_is_repaired() -> None:
    bow_tie = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    (feature,) = written([annotation(bow_tie)])
    shape = shapely.from_geojson(json.dumps(feature["geometry"]))
    assert shape.is_valid
    assert shape.area == pytest.approx(shapely.make_valid(bow_tie).area)


@pytest.mark.parametrize(
    "shape",
    [Polygon([(0, 0), (5, 5), (9, 9)]), box(0, 0, 1e-3, 9), Polygon(), Polygon([(0, 0), (math.nan, 1), (2, 2)])],
)
def test_object_without_extent_is_left_out_with_a_warning(shape: Polygon, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = annotation(shape), annotation(box(0, 0, 9, 9))
    file = io.StringIO()
    assert write_geojson(file, [bad, good]) == 1
    assert str(bad.id) in caplog.text
    with pytest.raises(GeoJSONError, match=str(bad.id)):
        to_feature(bad)


def test_class_without_a_colour_gets_qupaths_own() -> None:
    (feature,) = written([annotation(box(0, 0, 9, 9), path_class=PathClass(("Tumor", "Odd")))])
    assert feature["properties"]["classification"] == {
        "parentClass": {"name": "Tumor", "colorRGB": pack_rgb(200, 0, 0)},
        "name": "Odd",
        "colorRGB": default_color(("Tumor", "Odd")),
    }


def test_description_comes_back(tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.json", [annotation(box(0, 0, 9, 9), metadata={DESCRIPTION_KEY: "two\nlines"})])
    (obj,) = read_geojson(tmp_path / "a.json")
    assert obj.description == "two\nlines"


def test_half_a_surrogate_pair_comes_back(tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.json", [annotation(box(0, 0, 9, 9), name="broken \ud83d name")])
    (obj,) = read_geojson(tmp_path / "a.json")
    assert obj.name == "broken \ud83d name"


def test_no_objects_is_an_empty_collection(tmp_path: Path) -> None:
    assert write_geojson(tmp_path / "none.geojson", []) == 0
    assert json.loads((tmp_path / "none.geojson").read_text()) == {"type": "FeatureCollection", "features": []}
    assert list(read_geojson(tmp_path / "none.geojson")) == []


def test_failing_objects_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "objects.geojson"
    path.write_text("old")

    def objects() -> Any:
        yield annotation(box(0, 0, 9, 9))
        raise GeoJSONError("stop")

    with pytest.raises(GeoJSONError, match="stop"):
        write_geojson(path, objects())
    assert path.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["missing/objects.geojson", "."])
def test_unwritable_place_is_an_access_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProjectAccessError):
        write_geojson(tmp_path / name, [])
    assert list(tmp_path.iterdir()) == []


def test_same_objects_give_the_same_compressed_bytes(tmp_path: Path) -> None:
    obj = annotation(box(0, 0, 9, 9))
    for name in ("a.geojson.gz", "b.geojson.gz"):
        write_geojson(tmp_path / name, [obj])
    assert (tmp_path / "a.geojson.gz").read_bytes() == (tmp_path / "b.geojson.gz").read_bytes()
