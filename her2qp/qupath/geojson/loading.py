"""All objects of a GeoJSON file at once, tiles as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np

from her2qp.errors import GeoJSONError
from her2qp.qupath import uuids
from her2qp.qupath.geojson.reader import scan_geojson
from her2qp.qupath.objects import PathObject, TileTable
from her2qp.qupath.tiletables import fits_table, is_too_sparse, join_tables, objects_of, table_of, take_rows

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
        The rectangular tiles of which a row says all, in the order of the file. A measurement is NaN where a tile
        has none.

    Raises
    ------
    GeoJSONError
        The file cannot be read, is not GeoJSON, a feature is not what QuPath reads, or its tiles have so many
        different measurements that a table of them would fill the memory.
    """
    objects: list[PathObject] = []
    single: list[PathObject] = []
    tiles = _Tiles(Path(path))
    for item in scan_geojson(path):
        if single and (isinstance(item, TileTable) or len(single) == _ROWS_AT_ONCE):
            tiles.add_objects(single)
            single = []
        if isinstance(item, TileTable):
            tiles.add_table(item)
        else:
            (single if _is_row(item) else objects).append(item)
    tiles.add_objects(single)
    return _with_parents_before(tuple(objects), join_tables(tiles.tables))


def _is_row(obj: PathObject) -> bool:
    """Whether an object is all that a row of a table becomes when it is added: NaN in a row is no measurement."""
    return fits_table(obj) and not any(map(math.isnan, obj.measurements.values()))


@dataclass(slots=True)
class _Tiles:
    """The tables of a file, as long as they can become one.

    Parameters
    ----------
    where
        Named in errors.
    """

    where: Path
    tables: list[TileTable] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _rows: int = 0
    _values: int = 0

    def add_table(self, table: TileTable) -> None:
        """Add tiles that were read as a table; raises as :func:`load_geojson`."""
        self._count(len(table), table.names, int(np.count_nonzero(~np.isnan(table.values))))
        self.tables.append(table)

    def add_objects(self, tiles: Sequence[PathObject]) -> None:
        """Add tiles that were read one by one; raises as :func:`load_geojson`."""
        names = [name for tile in tiles for name in tile.measurements]
        self._count(len(tiles), names, len(names))
        self.tables.append(table_of(tiles))

    def _count(self, rows: int, names: Iterable[str], values: int) -> None:
        self._names.update(names)
        self._rows += rows
        self._values += values
        if is_too_sparse(self._rows, len(self._names), self._values):
            raise GeoJSONError(
                f"its tiles have too many different measurements for a table ({len(self._names):,} names)",
                where=self.where,
                remedy="Tiles of one image should have the same measurements.",
            )


def _with_parents_before(objects: tuple[PathObject, ...], tiles: TileTable) -> tuple[tuple[PathObject, ...], TileTable]:
    """The same with each tile that is the parent of something taken out of the table and put before its children."""
    ids = {obj.id for obj in objects}
    parents = {obj.parent for obj in objects}.union(tiles.parent_ids) - ids - {None}
    if not parents:
        return objects, tiles
    rows = uuids.rows_among(tiles.ids, uuids.from_bytes(parent.bytes for parent in parents if parent is not None))
    found = {obj.id: obj for obj in (*objects, *objects_of(take_rows(tiles, rows)))}
    return tuple(sorted(found.values(), key=lambda obj: _depth(obj, found))), take_rows(tiles, ~rows)


def _depth(obj: PathObject, others: dict[UUID, PathObject]) -> int:
    depth, parent = 0, obj.parent
    while parent is not None:
        depth, parent = depth + 1, others[parent].parent
    return depth
