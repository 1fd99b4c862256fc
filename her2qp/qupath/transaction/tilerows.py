"""Tiles in a form in which two sets of them can be compared row by row, whatever their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import TileTable

_ROOT = b"\0" * 16


@dataclass(frozen=True, slots=True, eq=False)
class TileRows:
    """Tiles with everything spelt out in each row.

    Parameters
    ----------
    ids, parents
        Object ids as 16 raw bytes, shape (n,), dtype V16; zeros for the root.
    bounds
        x0, y0, x1, y1 in pixels, shape (n, 4), float64.
    classes
        Row into `class_names`, shape (n,), int32; -1 when unclassified.
    class_names
        Full names of the classes.
    measurements
        Name to values, shape (n,), float32; NaN where a tile lacks it. Names that no tile has are left out.
    """

    ids: NDArray[np.void]
    parents: NDArray[np.void]
    bounds: NDArray[np.float64]
    classes: NDArray[np.int32]
    class_names: tuple[str, ...]
    measurements: Mapping[str, NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_table(cls, table: TileTable) -> TileRows:
        """Spell out a tile table."""
        known = np.array([_ROOT if i is None else i.bytes for i in table.parent_ids] or [_ROOT], dtype="V16")
        parents = known[table.parent_index] if len(table) else np.empty(0, "V16")
        measurements = {name: table.values[:, i] for i, name in enumerate(table.names)}
        return cls(
            np.ascontiguousarray(table.ids, dtype=np.uint8).view("V16").reshape(-1),
            parents,
            table.bounds,
            table.class_index,
            tuple(str(path_class) for path_class in table.classes),
            measurements,
        )

    def _take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> TileRows:
        return replace(
            self,
            ids=self.ids[rows],
            parents=self.parents[rows],
            bounds=self.bounds[rows],
            classes=self.classes[rows],
            measurements={name: values[rows] for name, values in self.measurements.items()},
        )

    def _rows_of(self, ids: Iterable[UUID | None]) -> NDArray[np.bool_]:
        wanted = {obj_id.bytes for obj_id in ids if obj_id is not None}
        return (
            np.fromiter((row in wanted for row in self.ids.tolist()), bool, len(self))
            if wanted
            else np.zeros(len(self), bool)
        )

    def distinct_parents(self) -> set[UUID | None]:
        """Every object that a tile lies under; None for the root."""
        return {_object_id(row) for row in np.unique(self.parents).tolist()}

    def parents_of(self, ids: Iterable[UUID | None]) -> dict[UUID, UUID | None]:
        """Parents of those of `ids` that are tiles."""
        rows = self._rows_of(ids)
        pairs = zip(self.ids[rows].tolist(), self.parents[rows].tolist(), strict=True)
        return {UUID(bytes=tile): _object_id(parent) for tile, parent in pairs}

    def without(self, ids: frozenset[UUID]) -> TileRows:
        """The tiles that are not among `ids`."""
        return self._take(~self._rows_of(ids)) if ids else self

    def with_parents(self, new_parent: Callable[[UUID | None], UUID | None]) -> TileRows:
        """The tiles with each parent mapped."""
        known, index = np.unique(self.parents, return_inverse=True)
        mapped = [new_parent(_object_id(row)) for row in known.tolist()]
        renamed = np.array([_ROOT if i is None else i.bytes for i in mapped] or [_ROOT], dtype="V16")
        return replace(self, parents=renamed[index.reshape(-1)] if len(self) else self.parents)

    def with_measurements(self, edit: HierarchyEdit) -> TileRows:
        """The tiles with the measurements that `edit` drops and sets on them."""
        touched = edit.drop_measurements.keys() | edit.set_measurements.keys()
        rows = np.flatnonzero(self._rows_of(touched))
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
        mine, theirs = self._take(np.argsort(self.ids)), other._take(np.argsort(other.ids))
        if not np.array_equal(mine.ids, theirs.ids):
            return "the tiles are others"
        if not np.array_equal(mine.parents, theirs.parents):
            return "a tile has another parent"
        if len(self) and not np.abs(mine.bounds - theirs.bounds).max() <= tolerance:
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


def _object_id(row: bytes) -> UUID | None:
    return None if row == _ROOT else UUID(bytes=row)
