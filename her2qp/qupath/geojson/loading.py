"""All objects of a GeoJSON file at once, tiles as a table."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np

from her2qp.qupath.geojson.reader import scan_geojson
from her2qp.qupath.objects import PathObject, TileTable
from her2qp.qupath.tiletables import fits_table, join_tables, objects_of, table_of, take_rows

_ROWS_AT_ONCE = 8192


def load_geojson(path: str | Path) -> tuple[tuple[PathObject, ...], TileTable]:
    """Read a GeoJSON file into memory.

    Parameters
    ----------
    path
        The file; see :func:`read_geojson` for what it may hold.

    Returns
    -------
    tuple of PathObject
        The objects that the table does not hold, parents before their children.
    TileTable
        The rectangular tiles of which a row says all, in the order of the file.

    Raises
    ------
    GeoJSONError
        The file cannot be read, is not GeoJSON, or a feature is not what QuPath reads.
    """
    objects: list[PathObject] = []
    single: list[PathObject] = []
    tables: list[TileTable] = []
    for item in scan_geojson(path):
        if single and (isinstance(item, TileTable) or len(single) == _ROWS_AT_ONCE):
            tables.append(table_of(single))
            single = []
        if isinstance(item, TileTable):
            tables.append(item)
        else:
            (single if fits_table(item) else objects).append(item)
    tables.append(table_of(single))
    return _with_parents_before(tuple(objects), join_tables(tables))


def _with_parents_before(objects: tuple[PathObject, ...], tiles: TileTable) -> tuple[tuple[PathObject, ...], TileTable]:
    """The same with each tile that is the parent of something taken out of the table and put before its children."""
    ids = {obj.id for obj in objects}
    parents = {obj.parent for obj in objects}.union(tiles.parent_ids) - ids - {None}
    if not parents:
        return objects, tiles
    wanted = {parent.bytes for parent in parents if parent is not None}
    rows = np.fromiter((row.tobytes() in wanted for row in tiles.ids), np.bool_, len(tiles))
    found = {obj.id: obj for obj in (*objects, *objects_of(take_rows(tiles, rows)))}
    return tuple(sorted(found.values(), key=lambda obj: _depth(obj, found))), take_rows(tiles, ~rows)


def _depth(obj: PathObject, others: dict[UUID, PathObject]) -> int:
    depth, parent = 0, obj.parent
    while parent is not None:
        depth, parent = depth + 1, others[parent].parent
    return depth
