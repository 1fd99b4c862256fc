"""Tiles read as tables are the tiles that are read one by one."""

from __future__ import annotations

import gzip
import json
import math
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from her2qp.errors import GeoJSONError
from her2qp.qupath.classes import PathClass
from her2qp.qupath.geojson import chunks, load_geojson, read_geojson, scan_geojson, write_geojson
from her2qp.qupath.objects import ObjectType, PathObject, TileTable
from her2qp.qupath.rois import make_roi
from her2qp.qupath.tiletables import fits_table, objects_of

NUMBERS = [
    "0", "-0", "0.5", "-1.25e-3", "1E+2", "1e999", "-1e400", "123456789012345678901234567890", "9007199254740993",
    "0.1000000000000000055511151231257827", "16777217", "3.4028236e38", "1e-46", "NaN", "-Infinity", '"NaN"', '"1.5"',
    "null", "01", "1.", ".5", "-", "1e", "+1", "1_0", "true", "[1]", "1,2", "1 2", "", "9" * 5000,
]  # fmt: skip
"""Values of a measurement, right and wrong."""

CLASSES = [
    "HER2 0",
    "Tumor: Positive",
    {"name": "HER2 3+", "colorRGB": -3670016},
    {"name": "HER2 3+", "color": [200, 0, 0]},
    {"names": ["Tumor", "Odd"], "color": [1, 2, 3]},
    {"parentClass": {"name": "Tumor"}, "name": "näh }"},
    {"name": 'a "quote"'},
    {"name": "back\\"},
    {"color": [1, 2, 3]},
    None,
]
RING = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]


def ring(x: float, y: float, side: float, turn: int = 0, order: int = 1) -> list[list[float]]:
    corners = RING[:4][turn:] + RING[:4][:turn]
    corners = corners[::order]
    return [[x + side * a, y + side * b] for a, b in [*corners, corners[0]]]


def tile(row: int, **more: Any) -> dict[str, Any]:
    """A tile as a program would write it, all rows alike."""
    return {
        "type": "Feature",
        "id": str(UUID(int=2**120 + row)),
        "geometry": {"type": "Polygon", "coordinates": [ring(256 * row, 0.5, 256)]},
        "properties": {"objectType": "tile", "measurements": [{"name": "m 1", "value": row / 8}]},
        **more,
    }


@st.composite
def changes(draw: st.DrawFn, row: int, feature: dict[str, Any]) -> dict[str, Any]:
    """A tile with something about it changed."""
    properties = feature["properties"]
    what = draw(st.sampled_from(["ring", "id", "parent", "class", "value", "more", "order", "nested", "shape"]))
    if what == "ring":
        turn, order = draw(st.integers(0, 3)), draw(st.sampled_from([1, -1]))
        corner = draw(st.sampled_from([-3.0, 0, 1e300, 2**53, 0.1]))
        feature["geometry"]["coordinates"] = [ring(corner, 7, draw(st.sampled_from([0, 1, 1e-9, -2])), turn, order)]
    elif what == "id":
        feature["id"] = draw(
            st.sampled_from([None, 7, "PathTileObject", str(UUID(int=1)).upper(), "{" + str(UUID(int=5)) + "}"])
        )
        if feature["id"] is None:
            del feature["id"]
    elif what == "parent":
        feature["parentId"] = draw(st.sampled_from([str(UUID(int=2**120 + r)) for r in (0, row, row + 1, 900)] + ["?"]))
    elif what == "class":
        properties["classification"] = draw(st.sampled_from(CLASSES))
    elif what == "value":
        properties["measurements"] = [{"name": "m 1", "value": f"@{draw(st.integers(0, len(NUMBERS) - 1))}@"}]
    elif what == "more":
        properties |= draw(st.sampled_from([{"name": "x"}, {"isLocked": True}, {"metadata": {"id": "\\"}}, {"n": 5}]))
    elif what == "order":
        feature = dict(reversed(feature.items()))
    elif what == "nested":
        properties["childObjects"] = [tile(draw(st.sampled_from([row, 500 + row])))]
    else:
        feature["geometry"]["coordinates"] = [[[0, 0], [5, 0], [9, 9], [0, 0]]]
    return feature


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Tiles in one of the forms in which programs write them, some of them changed."""
    as_object, path_class = draw(st.booleans()), draw(st.sampled_from(["absent", *CLASSES[:6], None]))
    parents, odd = draw(st.booleans()), draw(st.sets(st.integers(0, 30), max_size=6))
    features = []
    for row in range(draw(st.integers(0, 30))):
        feature = tile(row)
        properties = feature["properties"]
        if as_object:
            properties["measurements"] = {"m 1": row / 8, "m 2": -row}
        if path_class != "absent":
            properties["classification"] = path_class
        if parents:
            feature["parentId"] = str(UUID(int=2**120 + row // 4))
        features.append(draw(changes(row, feature)) if row in odd else feature)
    indent, spaces = draw(st.sampled_from([None, 1])), draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : ")]))
    document = draw(
        st.sampled_from(
            [features, {"type": "FeatureCollection", "features": features}, [{"features": [f]} for f in features]]
        )
    )
    text = json.dumps(document, indent=indent, separators=spaces, ensure_ascii=draw(st.booleans()))
    for number, value in enumerate(NUMBERS):
        text = text.replace(f'"@{number}@"', value)
    return text


def outcome(items: Iterable[PathObject | TileTable]) -> tuple[list[Any], str]:
    """Everything about the objects, and the error after them."""
    found = []
    try:
        for item in items:
            found.extend(map(facts, objects_of(item) if isinstance(item, TileTable) else [item]))
    except GeoJSONError as error:
        return found, str(error)
    return found, ""


def facts(obj: PathObject) -> Any:
    assert obj.roi is not None
    values = {name: value for name, value in obj.measurements.items() if not (fits_table(obj) and math.isnan(value))}
    shape = obj.geometry.bounds if fits_table(obj) else obj.geometry.wkb_hex
    return (
        obj.id, obj.type, obj.path_class, obj.name, obj.locked, obj.parent, obj.roi.kind, obj.roi.plane, shape,
        dict(obj.metadata), obj.is_missing, str(values),
    )  # fmt: skip


def assert_scanned_like_read(text: str, chunk_bytes: int = 2**20) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
        path = Path(folder) / "tiles.geojson"
        path.write_text(text, encoding="utf-8")
        assert outcome(scan_geojson(path)) == outcome(read_geojson(path))


@given(documents(), st.sampled_from([100, 3000, 2**20]))
def test_tables_hold_what_is_read_one_by_one(text: str, chunk_bytes: int) -> None:
    assert_scanned_like_read(text, chunk_bytes)


@given(st.data())
@settings(max_examples=20)
def test_a_damaged_character_is_seen_by_both(data: st.DataObject) -> None:
    features = [tile(row, parentId=str(UUID(int=2**120))) for row in range(40)]
    for feature in features:
        feature["properties"]["classification"] = {"name": "A", "color": [1, 2, 3]}
    text = json.dumps(features)
    for _ in range(20):
        at = data.draw(st.integers(len(text) // 3, len(text) - 1))
        damaged = (
            text[:at] + data.draw(st.sampled_from('"\\,:[]{}0.-e x5\n')) + text[at + data.draw(st.integers(0, 1)) :]
        )
        assert_scanned_like_read(damaged)


def tiles_of_a_program(style: str, count: int) -> str:
    """Text of many tiles as QuPath or another program writes them."""
    rng = random.Random(0)
    features = []
    for row in range(count):
        values = {f"m {i}": rng.random() for i in range(8)}
        feature = tile(row)
        properties = {"objectType": "tile", "isLocked": False}
        if style == "QuPath 0.3":
            properties["classification"] = {"name": rng.choice("AB"), "colorRGB": rng.randrange(-(2**24), 0)}
            properties["measurements"] = [{"name": name, "value": value} for name, value in values.items()]
        else:
            properties["classification"] = {"names": ["HER2", rng.choice("01")], "color": [rng.randrange(256), 0, 99]}
            properties["measurements"] = values
        features.append({**feature, "properties": properties})
    document = {"type": "FeatureCollection", "features": features}
    return json.dumps(document, indent=2 if style == "pretty" else None)


@pytest.mark.parametrize("style", ["QuPath 0.3", "QuPath 0.7", "pretty"])
def test_nearly_all_tiles_come_as_tables(tmp_path: Path, style: str) -> None:
    path = tmp_path / "tiles.geojson.gz"
    path.write_bytes(gzip.compress(tiles_of_a_program(style, 6000).encode()))
    single = sum(isinstance(item, PathObject) for item in scan_geojson(path))
    assert single < 40
    objects, table = load_geojson(path)
    assert (len(objects), len(table), len(table.names)) == (0, 6000, 8)


def test_own_tiles_come_back_as_the_same_table(tmp_path: Path) -> None:
    count, rng = 3000, np.random.default_rng(0)
    parent = PathObject(UUID(int=1), ObjectType.ANNOTATION, make_roi(box(0, 0, 10, 10)))
    tiles = small_table(count, rng, parent.id)
    write_geojson(tmp_path / "tiles.geojson", [parent], tiles)
    objects, again = load_geojson(tmp_path / "tiles.geojson")
    assert [obj.id for obj in objects] == [parent.id]
    assert again.names == tiles.names
    assert np.array_equal(again.ids, tiles.ids)
    assert np.array_equal(again.bounds, tiles.bounds)
    assert np.array_equal(again.values, tiles.values, equal_nan=True)
    for table in (again, tiles):
        assert {table.parent_ids[i] for i in table.parent_index} == {None, parent.id}
    for row in range(0, count, 97):
        assert (again.class_index[row] < 0) == (tiles.class_index[row] < 0)
        assert again.parent_ids[again.parent_index[row]] == tiles.parent_ids[tiles.parent_index[row]]
        assert (
            tiles.class_index[row] < 0 or again.classes[again.class_index[row]] == tiles.classes[tiles.class_index[row]]
        )


def small_table(count: int, rng: np.random.Generator, parent: UUID) -> TileTable:
    corner = rng.integers(0, 10**7, (count, 2)) / 100
    values = rng.normal(size=(count, 4)).astype(np.float32)
    values[rng.random(count) < 0.01, 2] = np.nan
    return TileTable(
        ids=rng.integers(0, 256, (count, 16), dtype=np.uint8),
        bounds=np.round(np.hstack((corner, corner + 256)), 2),
        classes=(PathClass(("Tumor", "1+")), PathClass(("näh",))),
        class_index=np.where(np.arange(count) > count // 2, -1, rng.integers(0, 2, count)).astype(np.int32),
        names=("a", "b", "50 % c", "d"),
        values=values,
        parent_ids=(None, parent),
        parent_index=rng.integers(0, 2, count, dtype=np.int32),
    )


def test_tiles_that_are_parents_become_objects_before_their_children(tmp_path: Path) -> None:
    features = [tile(row) for row in range(200)]
    features[150]["parentId"] = features[40]["id"]
    features.append(tile(200, parentId=features[150]["id"], geometry={"type": "Point", "coordinates": [1, 2]}))
    path = tmp_path / "tiles.json"
    path.write_text(json.dumps(features))
    objects, table = load_geojson(path)
    assert [str(obj.id) for obj in objects] == [features[row]["id"] for row in (40, 150, 200)]
    assert [str(obj.parent or "") for obj in objects] == ["", features[40]["id"], features[150]["id"]]
    assert len(table) == 198
    assert set(table.parent_ids) == {None}
