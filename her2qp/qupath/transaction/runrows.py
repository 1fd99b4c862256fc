"""Cells and other objects by the hundred thousand, compared as the bytes that they are in the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import DataFileError
from her2qp.qupath.java import KnownRun
from her2qp.qupath.native.entries import RunEntry
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import ObjectType, PathObject
from her2qp.qupath.transaction.leafrows import ID, LeafRows, id_array, object_id, sort_key

_ROWS_AT_ONCE = 1 << 12


@dataclass(frozen=True, slots=True, eq=False)
class RunRows(LeafRows):
    """Objects that are rows of runs.

    Parameters
    ----------
    ids, parents
        See :class:`LeafRows`.
    data
        The file.
    entries, runs
        Its runs, and what is known of them.
    run_index, row
        Where each object is: number of its run, and its row, shape (n,), int64.
    """

    data: QpData
    entries: tuple[RunEntry, ...]
    runs: tuple[KnownRun, ...]
    run_index: NDArray[np.int64]
    row: NDArray[np.int64]

    @classmethod
    def of(cls, data: QpData, known: Iterable[RunEntry] = ()) -> RunRows:
        """The rows of all runs of a file, but for tiles in the table.

        Parameters
        ----------
        data
            The file.
        known
            Of a file by which its runs were found: those that hold the same bytes have the same ids.
        """
        entries = data.runs
        for entry in entries:
            entry.take_ids(known)
        sizes = [len(entry.run) for entry in entries]
        ids = [np.ascontiguousarray(entry.ids).view(ID).reshape(-1) for entry in entries]
        return cls(
            np.concatenate([np.empty(0, ID), *ids]),
            id_array(entry.parent.visible_id for entry in entries)[np.repeat(np.arange(len(sizes)), sizes)],
            data,
            tuple(entries),
            tuple(KnownRun.of(entry.run) for entry in entries),
            np.repeat(np.arange(len(sizes)), sizes),
            np.concatenate([np.empty(0, np.int64), *map(np.arange, sizes)]),
        )

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> RunRows:
        """See :meth:`LeafRows.take`."""
        return replace(
            self,
            ids=self.ids[rows],
            parents=self.parents[rows],
            run_index=self.run_index[rows],
            row=self.row[rows],
        )

    def count(self) -> Counter[ObjectType]:
        """Number of objects of each type."""
        counts: Counter[ObjectType] = Counter()
        for entry, n in zip(
            self.entries, np.bincount(self.run_index, minlength=len(self.entries)).tolist(), strict=True
        ):
            if entry.record.type is not None:
                counts[entry.record.type] += n
        return counts

    def objects(self) -> Iterator[PathObject]:
        """Make the objects.

        Raises
        ------
        DataFileError
            Something that they share with others has been changed since.
        """
        for number in np.unique(self.run_index).tolist():
            if not self.runs[number].is_unchanged:
                raise DataFileError("what many objects share was changed")
            rows = self.run_index == number
            for row, parent in zip(self.row[rows].tolist(), self.parents[rows].tolist(), strict=True):
                yield replace(self.data.object_at(self.entries[number], row), parent=object_id(parent))

    def without_common(self, other: RunRows) -> tuple[RunRows, RunRows]:
        """The objects that are not for certain the same in `other`, and those of `other` that are not in these."""
        mine, theirs = self._pairs(other)
        breaks = np.ones(len(mine) + 1, dtype=np.bool_)
        a, b = self.take(mine), other.take(theirs)
        breaks[1:-1] = (
            (np.diff(a.run_index) != 0) | (np.diff(a.row) != 1) | (np.diff(b.run_index) != 0) | (np.diff(b.row) != 1)
        )
        breaks[:-1:_ROWS_AT_ONCE] = True
        is_same: NDArray[np.bool_] = sort_key(a.parents) == sort_key(b.parents)
        bounds = np.flatnonzero(breaks)
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            one, two = self.runs[a.run_index[start]], other.runs[b.run_index[start]]
            rows, other_rows = (slice(c.row[start], c.row[start] + stop - start) for c in (a, b))
            is_same[start:stop] &= one.is_same(rows, two, other_rows)
        kept, kept_there = np.ones(len(self), dtype=np.bool_), np.ones(len(other), dtype=np.bool_)
        kept[mine[is_same]] = kept_there[theirs[is_same]] = False
        return self.take(kept), other.take(kept_there)

    def _pairs(self, other: RunRows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Places of the objects that are in both, in these and in `other`; an id that occurs twice makes two pairs."""
        if np.array_equal(self.ids, other.ids):
            return np.arange(len(self)), np.arange(len(self))
        keys, other_keys = sort_key(self.ids), sort_key(other.ids)
        order, other_order = np.argsort(keys, kind="stable"), np.argsort(other_keys, kind="stable")
        keys, other_keys = keys[order], other_keys[other_order]
        nth_of_its_id = np.arange(len(keys)) - np.searchsorted(keys, keys)
        places = np.searchsorted(other_keys, keys) + nth_of_its_id
        found = places < len(other_keys)
        found[found] = other_keys[places[found]] == keys[found]
        mine, theirs = order[found], other_order[places[found]]
        by_place = np.argsort(mine)
        return mine[by_place], theirs[by_place]
