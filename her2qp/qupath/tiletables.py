"""Tables of tiles: made from objects, joined, and turned into objects again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator, Sequence, Set
from typing import TypeVar
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray

from her2qp.qupath import uuids
from her2qp.qupath.objects import ImagePlane, ObjectType, PathObject, Roi, RoiKind, TileTable
from her2qp.qupath.rois import rectangle

_Item = TypeVar("_Item", bound=Hashable)

_CELLS_UNCHECKED = 2**26
_MAX_CELLS_PER_NUMBER = 256
"""Measurements in a table for each number that tiles hold; a project of many tools reaches about ten."""


def fits_table(obj: PathObject) -> bool:
    """Whether a row says all about an object: a rectangular tile without name, colour, lock or metadata of its own."""
    return (
        obj.type is ObjectType.TILE
        and obj.roi is not None
        and obj.roi.kind is RoiKind.RECTANGLE
        and obj.roi.plane == ImagePlane()
        and (obj.name, obj.color) == (None, None)
        and not (obj.locked or obj.is_missing or obj.metadata)
        and math.isnan(obj.class_probability)
    )


def is_too_sparse(rows: int, names: int, values: int) -> bool:
    """Whether a table would fill the memory with what tiles lack, though they hold few `values`.

    Parameters
    ----------
    rows, names
        Size of the table.
    values
        Measurements of all tiles together.
    """
    return rows * names > max(_CELLS_UNCHECKED, _MAX_CELLS_PER_NUMBER * (rows + values))


def numbered(items: Sequence[_Item]) -> tuple[tuple[_Item, ...], NDArray[np.int32]]:
    """The distinct ones of `items` in order of appearance, and which of them each is, shape (len(items),)."""
    number = {item: i for i, item in enumerate(dict.fromkeys(items))}
    return tuple(number), np.fromiter(map(number.__getitem__, items), np.int32, len(items))


def table_of(tiles: Sequence[PathObject]) -> TileTable:
    """Objects that :func:`fits_table` as a table, in their order."""
    names, columns = numbered([name for tile in tiles for name in tile.measurements])
    classes, class_index = numbered([None, *(tile.path_class for tile in tiles)])
    parents, parent_index = numbered([tile.parent for tile in tiles])
    values = np.full((len(tiles), len(names)), np.nan, np.float32)
    rows = np.repeat(np.arange(len(tiles)), [len(tile.measurements) for tile in tiles])
    with np.errstate(over="ignore"):
        values[rows, columns] = [value for tile in tiles for value in tile.measurements.values()]
    return TileTable(
        ids=np.frombuffer(b"".join(tile.id.bytes for tile in tiles), np.uint8).reshape(-1, 16),
        bounds=shapely.bounds([tile.geometry for tile in tiles]).reshape(-1, 4),
        classes=tuple(path_class for path_class in classes if path_class is not None),
        class_index=class_index[1:] - 1,
        names=names,
        values=values,
        parent_ids=parents,
        parent_index=parent_index,
    )


def join_tables(tables: Sequence[TileTable]) -> TileTable:
    """The rows of all tables, one table after the other."""
    names, columns = numbered([name for table in tables for name in table.names])
    classes, class_numbers = numbered([path_class for table in tables for path_class in table.classes])
    parents, parent_numbers = numbered([parent for table in tables for parent in table.parent_ids])
    values = np.full((sum(map(len, tables)), len(names)), np.nan, np.float32)
    class_index, parent_index = [], []
    row = column = c = p = 0
    for table in tables:
        values[row : row + len(table), columns[column : column + len(table.names)]] = table.values
        own_classes = np.append(class_numbers[c : c + len(table.classes)], -1)  # so that -1 stays -1
        class_index.append(own_classes[table.class_index])
        parent_index.append(parent_numbers[p : p + len(table.parent_ids)][table.parent_index])
        row, column = row + len(table), column + len(table.names)
        c, p = c + len(table.classes), p + len(table.parent_ids)
    return TileTable(
        ids=np.concatenate([np.empty((0, 16), np.uint8), *(table.ids for table in tables)]),
        bounds=np.concatenate([np.empty((0, 4)), *(table.bounds for table in tables)]),
        classes=classes,
        class_index=np.concatenate([np.empty(0, np.int32), *class_index]).astype(np.int32),
        names=names,
        values=values,
        parent_ids=parents,
        parent_index=np.concatenate([np.empty(0, np.int32), *parent_index]),
    )


def without_ids(tiles: TileTable, ids: Set[UUID]) -> TileTable:
    """The rows of a table whose ids are not among `ids`."""
    unwanted = uuids.rows_among(tiles.ids, uuids.from_bytes(obj_id.bytes for obj_id in ids))
    return take_rows(tiles, ~unwanted) if unwanted.any() else tiles


def take_rows(tiles: TileTable, rows: NDArray[np.bool_]) -> TileTable:
    """The rows of a table that `rows`, shape (n,), marks, with no parents but theirs."""
    parents, parent_index = np.unique(tiles.parent_index[rows], return_inverse=True)
    return dataclasses.replace(
        tiles,
        ids=tiles.ids[rows],
        bounds=tiles.bounds[rows],
        class_index=tiles.class_index[rows],
        values=tiles.values[rows],
        parent_ids=tuple(tiles.parent_ids[parent] for parent in parents),
        parent_index=parent_index.astype(np.int32),
    )


def objects_of(tiles: TileTable) -> Iterator[PathObject]:
    """The rows of a table as objects; a measurement that is NaN is left out."""
    classes = (*tiles.classes, None)
    for row in range(len(tiles)):
        values = zip(tiles.names, tiles.values[row].tolist(), strict=True)
        yield PathObject(
            id=UUID(bytes=tiles.ids[row].tobytes()),
            type=ObjectType.TILE,
            roi=Roi(RoiKind.RECTANGLE, rectangle(*tiles.bounds[row].tolist())),
            path_class=classes[tiles.class_index[row]],
            measurements={name: value for name, value in values if not math.isnan(value)},
            parent=tiles.parent_ids[tiles.parent_index[row]],
        )
