"""Objects without children as rows of arrays: what tiles and the rows of runs have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath import uuids

_ROOT = b"\0" * 16

ID = np.dtype("V16")
"""An object id as 16 raw bytes; zeros for the root."""


@dataclass(frozen=True, slots=True, eq=False)
class LeafRows(ABC):
    """Objects whose ids and parents are spelt out.

    Parameters
    ----------
    ids, parents
        Shape (n,), dtype :data:`ID`.
    """

    ids: NDArray[np.void]
    parents: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        """Some of the objects, by mask or numbers."""

    def rows_of(self, ids: Iterable[UUID | None]) -> NDArray[np.bool_]:
        """Which of the objects have one of some ids, shape (n,)."""
        wanted = uuids.from_bytes(obj_id.bytes for obj_id in ids if obj_id is not None)
        return uuids.rows_among(self.ids.view(np.uint8).reshape(-1, 16), wanted)

    def distinct_parents(self) -> set[UUID | None]:
        """Every object that one of these lies under; None for the root."""
        return {object_id(row) for row in _distinct(self.parents)[0]}

    def parents_of(self, ids: Iterable[UUID | None]) -> dict[UUID, UUID | None]:
        """Parents of those of `ids` that are here."""
        rows = self.rows_of(ids)
        pairs = zip(self.ids[rows].tolist(), self.parents[rows].tolist(), strict=True)
        return {UUID(bytes=row): object_id(parent) for row, parent in pairs}

    def without(self, ids: Iterable[UUID]) -> Self:
        """The objects that are not among `ids`."""
        rows = self.rows_of(ids)
        return self.take(~rows) if rows.any() else self

    def with_parents(self, new_parent: Callable[[UUID | None], UUID | None]) -> Self:
        """The objects with each parent mapped."""
        known, index = _distinct(self.parents)
        return replace(self, parents=id_array(new_parent(object_id(row)) for row in known)[index])


def sort_key(ids: NDArray[np.void]) -> NDArray[np.bytes_]:
    """Ids as NumPy sorts them fast: as byte strings of one length."""
    return ids.view("S16")


def id_array(ids: Iterable[UUID | None]) -> NDArray[np.void]:
    """Ids as an array, shape (n,), dtype :data:`ID`."""
    return np.array([_ROOT if obj_id is None else obj_id.bytes for obj_id in ids], dtype=ID)


def _distinct(ids: NDArray[np.void]) -> tuple[list[bytes], NDArray[np.intp]]:
    """The ids that occur, and the number among them of each."""
    keys = sort_key(ids)
    if len(keys) and (keys == keys[0]).all():
        return ids[:1].tolist(), np.zeros(len(ids), dtype=np.intp)
    found, index = np.unique(keys, return_inverse=True)
    return found.view(ID).tolist(), index.reshape(-1)


def object_id(row: bytes) -> UUID | None:
    """The id of an item of an id array; None for the root."""
    return None if row == _ROOT else UUID(bytes=row)
