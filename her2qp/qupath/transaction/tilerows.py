"""Tiles in a form in which two sets of them can be compared row by row, whatever their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import TileTable
from her2qp.qupath.transaction.leafrows import ID, LeafRows, id_array, sort_key


@dataclass(frozen=True, slots=True, eq=False)
class TileRows(LeafRows):
    """Tiles with everything spelt out in each row.

    Parameters
    ----------
    ids, parents
        See :class:`LeafRows`.
    bounds
        x0, y0, x1, y1 in pixels, shape (n, 4), float64.
    classes
        Row into `class_names`, shape (n,), int32; -1 when unclassified.
    class_names
        Full names of the classes.
    measurements
        Name to values, shape (n,), float32; NaN where a tile lacks it. Names that no tile has are left out.
    """

    bounds: NDArray[np.float64]
    classes: NDArray[np.int32]
    class_names: tuple[str, ...]
    measurements: Mapping[str, NDArray[np.float32]]

    @classmethod
    def from_table(cls, table: TileTable) -> TileRows:
        """Spell out a tile table."""
        measurements = {name: table.values[:, i] for i, name in enumerate(table.names)}
        return cls(
            np.ascontiguousarray(table.ids, dtype=np.uint8).view(ID).reshape(-1),
            id_array(table.parent_ids)[table.parent_index],
            table.bounds,
            table.class_index,
            tuple(str(path_class) for path_class in table.classes),
            measurements,
        )

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> TileRows:
        """See :meth:`LeafRows.take`."""
        return replace(
            self,
            ids=self.ids[rows],
            parents=self.parents[rows],
            bounds=self.bounds[rows],
            classes=self.classes[rows],
            measurements={name: values[rows] for name, values in self.measurements.items()},
        )

    def with_measurements(self, edit: HierarchyEdit) -> TileRows:
        """The tiles with the measurements that `edit` drops and sets on them."""
        touched = edit.drop_measurements.keys() | edit.set_measurements.keys()
        rows = np.flatnonzero(self.rows_of(touched))
        if not len(rows):
            return self
        measurements = {name: values.copy() for name, values in self.measurements.items()}
        for row in rows:
            tile = UUID(bytes=self.ids[row].tobytes())
            for name in edit.drop_measurements.get(tile, frozenset()) & measurements.keys():
                measurements[name][row] = np.nan
            for name, value in edit.set_measurements.get(tile, {}).items():
                measurements.setdefault(name, np.full(len(self), np.nan, np.float32))[row] = value
        return replace(self, measurements=measurements)

    def joined(self, other: TileRows) -> TileRows:
        """These tiles and then `other`."""
        names = [*self.measurements, *(name for name in other.measurements if name not in self.measurements)]
        shifted = np.where(other.classes < 0, -1, other.classes + len(self.class_names)).astype(np.int32)
        return TileRows(
            np.concatenate([self.ids, other.ids]),
            np.concatenate([self.parents, other.parents]),
            np.concatenate([self.bounds, other.bounds]),
            np.concatenate([self.classes, shifted]),
            self.class_names + other.class_names,
            {name: np.concatenate([self._column(name), other._column(name)]) for name in names},
        )

    def _column(self, name: str) -> NDArray[np.float32]:
        values = self.measurements.get(name)
        return np.full(len(self), np.nan, np.float32) if values is None else values

    def difference(self, other: TileRows, tolerance: float) -> str | None:
        """What differs between two sets of tiles, None if they are the same but for their order."""
        if len(self) != len(other):
            return f"{len(other)} tiles instead of {len(self)}"
        mine, theirs = self, other
        if not np.array_equal(self.ids, other.ids):
            mine, theirs = (
                self.take(np.argsort(sort_key(self.ids), kind="stable")),
                other.take(np.argsort(sort_key(other.ids), kind="stable")),
            )
        if not np.array_equal(mine.ids, theirs.ids):
            return "the tiles are others"
        if not np.array_equal(mine.parents, theirs.parents):
            return "a tile has another parent"
        if not np.allclose(mine.bounds, theirs.bounds, rtol=0, atol=tolerance, equal_nan=True):
            return "a tile lies elsewhere"
        if not np.array_equal(mine._class_column(), theirs._class_column()):
            return "a tile has another class"
        for name in mine.measurements.keys() | theirs.measurements.keys():
            if not np.array_equal(mine._column(name), theirs._column(name), equal_nan=True):
                return f"the measurement {name!r} of a tile changed"
        return None

    def _class_column(self) -> NDArray[np.str_]:
        names = np.array([*self.class_names, ""])
        return names[self.classes]
