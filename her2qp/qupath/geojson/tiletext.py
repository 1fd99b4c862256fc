"""Tiles as features, whole tables at a time: the text that is alike is made once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.geojson.numbers import coordinate_texts, single_texts
from her2qp.qupath.geojson.properties import encode_class
from her2qp.qupath.objects import TileTable

ROWS_AT_ONCE = 8192


def dump(value: object) -> str:
    """Compact JSON text; refuses numbers that JSON cannot say."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def tile_features(tiles: TileTable) -> Iterator[list[str]]:
    """Text of one feature a tile, in lists of up to `ROWS_AT_ONCE`; the same content as `encode_object` gives.

    A tile whose area vanishes when rounded to 0.01 px is left out.
    """
    heads = _heads(tiles)
    names = [f'{{"name":{dump(name)},"value":' for name in tiles.names]
    for start in range(0, len(tiles), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        ids = uuid_texts(tiles.ids[rows])
        corners = coordinate_texts(tiles.bounds[rows]).tolist()
        middles = [
            heads[pair]
            for pair in zip(tiles.parent_index[rows].tolist(), tiles.class_index[rows].tolist(), strict=True)
        ]
        tails = _measurement_texts(names, tiles.values[rows])
        yield [
            f'{{"type":"Feature","id":"{uid}","geometry":{{"type":"Polygon","coordinates":'
            f"[[[{x0},{y0}],[{x1},{y0}],[{x1},{y1}],[{x0},{y1}],[{x0},{y0}]]]}},{middle}{tail}}}}}"
            for uid, (x0, y0, x1, y1), middle, tail in zip(ids, corners, middles, tails, strict=True)
            if x0 != x1 and y0 != y1
        ]


def _heads(tiles: TileTable) -> dict[tuple[int, int], str]:
    """Text from the geometry's end to the measurements for each pair of parent and class that occurs."""
    pairs = np.unique(np.column_stack((tiles.parent_index, tiles.class_index)), axis=0)
    heads = {}
    for parent_row, class_row in pairs.tolist():
        parent = tiles.parent_ids[parent_row]
        nested = "" if parent is None else f'"parentId":"{parent}",'
        path_class = "" if class_row < 0 else f',"classification":{dump(encode_class(tiles.classes[class_row]))}'
        types = '"objectType":"tile","object_type":"tile"'
        heads[parent_row, class_row] = f'{nested}"properties":{{{types}{path_class},"isLocked":false'
    return heads


def _measurement_texts(names: list[str], values: NDArray[np.float32]) -> list[str]:
    """The measurements of each row with a comma before, those that are not finite left out; empty if all are."""
    finite = np.isfinite(values)
    texts = np.empty(values.shape, dtype=object)
    texts[finite] = single_texts(values[finite])
    patterns, pattern_of_row = np.ones((1, len(names)), np.bool_), np.zeros(len(values), np.intp)
    if not finite.all():
        patterns, pattern_of_row = np.unique(finite, axis=0, return_inverse=True)
    result = np.empty(len(values), dtype=object)
    for i, pattern in enumerate(patterns):
        rows = np.flatnonzero(pattern_of_row.ravel() == i)
        if not pattern.any():
            result[rows] = ""
            continue
        template = "},".join(names[column].replace("%", "%%") + "%s" for column in np.flatnonzero(pattern))
        template = f',"measurements":[{template}}}]'
        result[rows] = [template % tuple(row) for row in texts[np.ix_(rows, pattern)].tolist()]
    return list(result)


def uuid_texts(ids: NDArray[np.uint8]) -> list[str]:
    """Ids of shape (n, 16), uint8, as UUIDs are written."""
    digits = np.frombuffer(ids.tobytes().hex().encode(), np.uint8).reshape(len(ids), 32)
    dashed = np.insert(digits, (8, 12, 16, 20), ord("-"), axis=1)
    return np.ascontiguousarray(dashed).view("S36").ravel().astype("U36").tolist()
