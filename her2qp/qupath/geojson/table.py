"""Objects as a table, one row each."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from her2qp.qupath.geojson.numbers import coordinate_texts, single_texts
from her2qp.qupath.geojson.output import text_output
from her2qp.qupath.geojson.tiletext import ROWS_AT_ONCE, uuid_texts
from her2qp.qupath.objects import ObjectType, PathObject, TileTable
from her2qp.qupath.tiletables import without_ids

COLUMNS = (
    "Object ID", "Object type", "Name", "Classification", "Parent ID", "ROI",
    "Centroid X px", "Centroid Y px", "X min px", "Y min px", "X max px", "Y max px",
)  # fmt: skip
"""Columns before the measurements. Coordinates are in pixels at full resolution."""


def write_csv(target: str | Path | TextIO, objects: Iterable[PathObject], tiles: TileTable | None = None) -> int:
    """Write objects as a table of comma-separated values in UTF-8, one row an object.

    Parameters
    ----------
    target
        A file (compressed if its name ends in ``.gz``; replaced in one step when all is written), or an open text
        file.
    objects
        Written first. All are held in memory, because their measurements are the columns.
    tiles
        Written after them, but for those that are among the objects.

    Returns
    -------
    int
        Number of rows below the header.

    Raises
    ------
    ProjectAccessError
        The file cannot be written.

    Notes
    -----
    Columns are `COLUMNS`, then every measurement that occurs, in order of appearance; a measurement that an object
    lacks, or that is not a number, is empty.
    """
    held = list(objects)
    if tiles is not None:
        tiles = without_ids(tiles, {obj.id for obj in held if obj.type is ObjectType.TILE})
    names = list(dict.fromkeys(itertools.chain(*(obj.measurements for obj in held), tiles.names if tiles else ())))
    with text_output(target) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *names])
        writer.writerows(_object_row(obj, names) for obj in held)
        if tiles is not None:
            writer.writerows(_tile_rows(tiles, names))
    return len(held) + (len(tiles) if tiles is not None else 0)


def _object_row(obj: PathObject, names: list[str]) -> list[Any]:
    shape = obj.geometry
    place: list[Any] = [""] * 6
    if not shape.is_empty:
        place = coordinate_texts(np.array([shape.centroid.x, shape.centroid.y, *shape.bounds])).tolist()
    measurements = (obj.measurements.get(name, math.nan) for name in names)
    return [
        obj.id,
        obj.type.value,
        obj.name or "",
        obj.path_class or "",
        obj.parent or "",
        obj.roi.kind.value if obj.roi else "",
        *place,
        *("" if math.isnan(value) else repr(float(value)) for value in measurements),
    ]


def _tile_rows(tiles: TileTable, names: list[str]) -> Iterator[list[Any]]:
    columns = [names.index(name) for name in tiles.names]
    classes = ["", *map(str, tiles.classes)]
    parents = [str(parent or "") for parent in tiles.parent_ids]
    centres = (tiles.bounds[:, :2] + tiles.bounds[:, 2:]) / 2
    for start in range(0, len(tiles), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        texts = np.full((len(tiles.ids[rows]), len(names)), "", dtype=object)
        values = tiles.values[rows]
        filled = np.empty(values.shape, dtype=object)
        filled[:] = ""
        known = ~np.isnan(values)
        filled[known] = single_texts(values[known])
        texts[:, columns] = filled
        places = coordinate_texts(np.hstack((centres[rows], tiles.bounds[rows])))
        for uid, c, p, place, text in zip(
            uuid_texts(tiles.ids[rows]), tiles.class_index[rows], tiles.parent_index[rows], places, texts, strict=True
        ):
            yield [uid, ObjectType.TILE.value, "", classes[c + 1], parents[p], "RectangleROI", *place, *text]
