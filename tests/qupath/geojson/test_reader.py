"""Every form that a QuPath reads, and nothing else."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2qp.errors import GeoJSONError
from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.qupath.geojson import chunks, from_feature, read_geojson
from her2qp.qupath.objects import ImagePlane, ObjectType, PathObject, RoiKind

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]}
TRIANGLE = {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [5, 10], [0, 0]]]}
ID = "5b7a4a5e-6f1b-4c6a-9f1f-0a8f6f0f2a11"


def feature(geometry: Any = SQUARE, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": ID, "geometry": geometry, "properties": properties}


def read(tmp_path: Path, document: Any) -> list[PathObject]:
    path = tmp_path / "objects.geojson"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return list(read_geojson(path))


@pytest.mark.parametrize(
    ("document", "count"),
    [
        (feature(), 1),
        (SQUARE, 1),
        ([feature(), SQUARE], 2),
        ([], 0),
        ({"type": "FeatureCollection", "features": [feature(), TRIANGLE]}, 2),
        ({"features": [feature()], "crs": {"a": [1]}, "type": "FeatureCollection"}, 1),
        ([{"type": "FeatureCollection", "features": [feature()]}, TRIANGLE], 2),
        ({"type": "FeatureCollection", "features": []}, 0),
    ],
)
def test_documents(tmp_path: Path, document: Any, count: int) -> None:
    objects = read(tmp_path, document)
    assert len(objects) == count
    assert all(obj.type is ObjectType.ANNOTATION for obj in objects)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_text_in_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, chunk: int) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk)
    named = [feature(name=f'nämé \\ " {i} €') | {"id": str(UUID(int=i))} for i in range(1, 20)]
    text = json.dumps({"type": "FeatureCollection", "features": named}, indent=indent, ensure_ascii=False)
    objects = read(tmp_path, "\ufeff \n" + text + "\n ")
    assert [obj.name for obj in objects] == [f["properties"]["name"] for f in named]
    assert [obj.id for obj in objects] == [UUID(f["id"]) for f in named]


def test_compressed_file_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "objects.json"
    path.write_bytes(gzip.compress(json.dumps(feature(name="x")).encode()))
    assert [obj.name for obj in read_geojson(path)] == ["x"]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"objectType": "tile"}, ObjectType.TILE),
        ({"object_type": "detection"}, ObjectType.DETECTION),
        ({"type": "cell"}, ObjectType.CELL),
        ({"object_type": "tma_core"}, ObjectType.TMA_CORE),
        ({"objectType": "tmaCore"}, ObjectType.TMA_CORE),
        ({"objectType": "tile", "object_type": "cell"}, ObjectType.TILE),
        ({"objectType": "something else"}, ObjectType.ANNOTATION),
        ({}, ObjectType.ANNOTATION),
    ],
)
def test_types(properties: dict[str, Any], expected: ObjectType) -> None:
    assert from_feature(feature(**properties)).type is expected


def test_type_in_the_id_of_old_versions() -> None:
    assert from_feature(feature() | {"id": "PathDetectionObject"}).type is ObjectType.DETECTION


RED = pack_rgb(200, 0, 0)


@pytest.mark.parametrize(
    ("value", "names", "color"),
    [
        ("Tumor", ("Tumor",), None),
        ("Tumor: Positive", ("Tumor", "Positive"), None),
        ({"name": "Tumor"}, ("Tumor",), None),
        ({"name": "Tumor", "color": [200, 0, 0]}, ("Tumor",), RED),
        ({"name": "Tumor", "color": RED}, ("Tumor",), RED),
        ({"name": "Tumor", "colorRGB": RED, "color": [1, 2, 3]}, ("Tumor",), RED),
        ({"names": ["Tumor", "Positive"], "color": [200, 0, 0]}, ("Tumor", "Positive"), RED),
        ({"parentClass": {"name": "Tumor"}, "name": "Positive", "colorRGB": RED}, ("Tumor", "Positive"), RED),
    ],
)
def test_classifications(value: Any, names: tuple[str, ...], color: int | None) -> None:
    path_class = from_feature(feature(classification=value)).path_class
    assert path_class == PathClass(names)
    assert path_class.color == color


@pytest.mark.parametrize("value", [None, "", {}])
def test_unclassified(value: Any) -> None:
    assert from_feature(feature(classification=value)).path_class is None


def test_measurements_in_both_forms() -> None:
    values = {"a": 1, "b": "NaN", "c": "-Infinity", "d": "2.5", "e": None, "f": 0.1}
    for measurements in (values, [{"name": name, "value": value} for name, value in values.items()]):
        read_back = dict(from_feature(feature(measurements=measurements)).measurements)
        assert math.isnan(read_back.pop("b"))
        assert read_back == {"a": 1.0, "c": -math.inf, "d": 2.5, "f": 0.1}
        tile = from_feature(feature(measurements=measurements, objectType="tile"))
        assert tile.measurements["f"] == 0.10000000149011612


def test_raw_nan_of_version_0_4(tmp_path: Path) -> None:
    (obj,) = read(tmp_path, json.dumps(feature(measurements={"a": math.nan})))
    assert math.isnan(obj.measurements["a"])


def test_an_id_among_the_metadata_is_none() -> None:
    shape = {"type": "Point", "coordinates": [1, 2]}
    assert from_feature(feature(shape, metadata={"a": "b", "Object ID": str(UUID(int=3))})).metadata == {"a": "b"}


def test_ellipse_plane_colour_lock_and_metadata() -> None:
    shape = TRIANGLE | {"isEllipse": True, "plane": {"c": 1, "z": 2, "t": 3}}
    obj = from_feature(feature(shape, color=[1, 2, 3, 255], isLocked=True, metadata={"a": "b", "n": 1}, name="x"))
    assert obj.roi is not None
    assert obj.roi.kind is RoiKind.ELLIPSE
    assert obj.roi.plane == ImagePlane(1, 2, 3)
    assert obj.geometry.bounds == (0, 0, 10, 10)
    assert (obj.color, obj.locked, obj.metadata, obj.name) == (pack_rgb(1, 2, 3), True, {"a": "b", "n": "1"}, "x")


def test_cell_with_nucleus() -> None:
    obj = from_feature(feature(objectType="cell") | {"nucleusGeometry": TRIANGLE})
    assert obj.nucleus is not None
    assert obj.nucleus.geometry.area == 50


def test_rectangle_in_any_order_of_corners() -> None:
    ring = SQUARE["coordinates"][0][:4]
    for turn in range(4):
        for order in (1, -1):
            corners = (ring[turn:] + ring[:turn])[::order]
            obj = from_feature(feature({"type": "Polygon", "coordinates": [[*corners, corners[0]]]}))
            assert obj.roi is not None
            assert obj.roi.kind is RoiKind.RECTANGLE
            assert obj.geometry.bounds == (0, 0, 10, 10)


def test_collection_is_reduced_to_its_highest_dimension() -> None:
    shape = {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [50, 50]}, TRIANGLE]}
    assert from_feature(feature(shape)).geometry.area == 50


def test_nested_objects_follow_their_parents(tmp_path: Path) -> None:
    leaf = feature(name="leaf") | {"id": str(UUID(int=3))}
    middle = feature(name="middle", childObjects=[leaf]) | {"id": str(UUID(int=2))}
    second = feature(name="second") | {"id": str(UUID(int=4))}
    top = feature(name="top", childObjects=[middle, second]) | {"id": str(UUID(int=1))}
    objects = read(tmp_path, [top])
    assert [(obj.name, obj.parent) for obj in objects] == [
        ("top", None), ("middle", UUID(int=1)), ("leaf", UUID(int=2)), ("second", UUID(int=1)),
    ]  # fmt: skip


def test_missing_and_repeated_ids_are_derived_the_same_each_time(tmp_path: Path) -> None:
    document = [feature(), feature(), feature(name="a") | {"id": "PathTileObject"}, TRIANGLE, TRIANGLE]
    first, second = read(tmp_path, document), read(tmp_path, document)
    assert [obj.id for obj in first] == [obj.id for obj in second]
    assert len({obj.id for obj in first}) == 5
    assert first[0].id == UUID(ID)


def test_children_of_a_repeated_id_stay_with_their_own_parent(tmp_path: Path) -> None:
    child = {"id": str(UUID(int=9))}
    tops = [feature(name=str(i), childObjects=[feature(name=f"child {i}") | child]) for i in range(2)]
    objects = read(tmp_path, tops)
    assert [obj.parent for obj in objects] == [None, objects[0].id, None, objects[2].id]
    assert len({obj.id for obj in objects}) == 4


def open_ring() -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [5, 10], [1, 1]]]}


MALFORMED = {
    "not closed": feature(open_ring()),
    "no geometry": feature(None),
    "not a type of geometry": feature({"type": "Circle", "coordinates": []}),
    "not a finite number": feature({"type": "Point", "coordinates": [math.nan, 1]}),
    "pair of numbers": feature({"type": "Point", "coordinates": [1]}),
    "a coordinate is not a pair": feature({"type": "LineString", "coordinates": [[0, 0], "x"]}),
    "fewer than four points": feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}),
    "fewer than two points": feature({"type": "LineString", "coordinates": [[0, 0]]}),
    "geometry is empty": feature({"type": "MultiPolygon", "coordinates": []}),
    "list of rings": feature({"type": "MultiPolygon", "coordinates": [5]}),
    "properties are not an object": feature() | {"properties": [1]},
    "not a number": feature(measurements={"a": "many"}),
    "measurements are neither": feature(measurements="many"),
    "classification has no name": feature(classification={"color": [1, 2, 3]}),
    "classification is neither": feature(classification=5),
    "class name must not": feature(classification="Tumor: "),
    "more than 32 parts": feature(classification={"names": ["a"] * 33}),
    "not a colour": feature(color=[1, 2]),
    "plane": feature(SQUARE | {"plane": {"z": "top"}}),
    "metadata": feature(metadata={"a": {}}),
    "neither a feature nor a geometry": {"type": "Topology"},
}


@pytest.mark.parametrize("message", MALFORMED)
def test_malformed_feature_is_named_by_number(tmp_path: Path, message: str) -> None:
    with pytest.raises(GeoJSONError, match=message) as caught:
        read(tmp_path, [TRIANGLE, MALFORMED[message]])
    assert "objects.geojson, feature 2" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("hello", "neither { nor"),
        ("5", "neither { nor"),
        ("[1, 2]", "neither a feature"),
        ("{", "ends in the middle"),
        ('{"type": "FeatureCollection", "features": [', "ends in the middle"),
        ('{"type": "FeatureCollection", "features": [{"type": "Fea', "ends in the middle"),
        ('{"type": "FeatureCollection"}', "no list of features"),
        ('{"type": "FeatureCollection", "features": 3}', "no list of features"),
        ('{"type": "Topology", "features": []}', "with features is not GeoJSON"),
        ('[{"type" "Feature"}' + " " * 100 + "]", "not JSON"),
        ("[] []", "more text follows"),
        ("{5: 6}", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + '{"a":' * 100_000, "nested too deeply"),
        ("[" + "9" * 5000 + "]", "not JSON"),
    ],
)
def test_malformed_text(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(GeoJSONError, match=message) as caught:
        read(tmp_path, text)
    assert "objects.geojson" in str(caught.value)


def test_deeply_nested_children_are_refused(tmp_path: Path) -> None:
    nested = feature()
    for _ in range(150):
        nested = feature(childObjects=[nested])
    with pytest.raises(GeoJSONError, match="nested more than"):
        read(tmp_path, nested)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"[" + b" " * 5000 + b"]", mtime=0)[:-20], "damaged"),
        (b"\x1f\x8b\x08\x00garbage garbage", "damaged"),
        (b"PK\x03\x04rest", "zip archive"),
        (json.dumps(SQUARE).encode("utf-16"), "not UTF-8"),
        (b'{"type": "\xff"}', "not UTF-8"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "objects.geojson"
    path.write_bytes(content)
    with pytest.raises(GeoJSONError, match=message):
        list(read_geojson(path))


def test_compression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "INFLATION_CHECKED_FROM", 2**20)
    path = tmp_path / "bomb.geojson.gz"
    path.write_bytes(gzip.compress(b"[" + b" " * 2**24 + b"]"))
    with pytest.raises(GeoJSONError, match="times larger"):
        list(read_geojson(path))


def test_endless_feature_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MAX_VALUE_CHARS", 2**20)
    with pytest.raises(GeoJSONError, match="longer than"):
        read(tmp_path, '[{"name": "' + "x" * 2**22)


@pytest.mark.parametrize("name", ["missing.geojson", "."])
def test_unreadable_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(GeoJSONError, match="cannot be read"):
        list(read_geojson(tmp_path / name))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["type", "features", "geometry", "coordinates", "properties", "x"]), inner
            )
        ),
    )
)
def test_any_json_is_read_or_refused(value: Any) -> None:
    try:
        from_feature(value)
    except GeoJSONError as error:
        assert str(error)


junk = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers() | st.text(max_size=2), max_size=4)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)


@given(
    st.sampled_from(
        ["name", "color", "classification", "isLocked", "measurements", "metadata", "objectType", "childObjects"]
    ),
    junk,
)
def test_any_property_is_read_or_refused(key: str, value: Any) -> None:
    try:
        from_feature(feature(**{key: value}))
    except GeoJSONError as error:
        assert str(error)


@given(st.sampled_from(["type", "coordinates", "plane", "isEllipse", "geometries"]), junk | st.lists(junk, max_size=3))
def test_any_geometry_is_read_or_refused(key: str, value: Any) -> None:
    for geometry in (SQUARE, TRIANGLE, {"type": "GeometryCollection"}, {"type": "MultiLineString"}):
        try:
            from_feature(feature(geometry | {key: value}))
        except GeoJSONError as error:
            assert str(error)
