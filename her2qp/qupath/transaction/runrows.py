"""Cells and other objects by the hundred thousand, compared as the bytes that they are in the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import DataFileError
from her2qp.qupath.java import ClassDesc, ClassObject, Node, write_stream
from her2qp.qupath.native.entries import RunEntry
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import ObjectType, PathObject
from her2qp.qupath.transaction.leafrows import ID, LeafRows, id_array, object_id, sort_key

_ROWS_AT_ONCE = 1 << 12

_NO_HANDLE = 1 << 31
"""No handle of a real stream is as high."""


@dataclass(frozen=True, eq=False)
class KnownRun:
    """A run and what its records referred to when it was read.

    Parameters
    ----------
    data
        The file that it is in.
    entry
        The run.
    meanings
        What each handle stood for: the bytes that Java would write for it alone.
    """

    data: QpData
    entry: RunEntry
    meanings: Mapping[int, bytes]

    @classmethod
    def of(cls, data: QpData, entry: RunEntry) -> KnownRun:
        """Take note of a run as it is now."""
        return cls(data, entry, {handle: _meaning(node) for handle, node in entry.run.targets.items()})

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        """A handle for each meaning."""
        return {meaning: handle for handle, meaning in sorted(self.meanings.items(), reverse=True)}

    def is_same(self, rows: slice, other: KnownRun, other_rows: slice) -> bool:
        """Whether some rows are byte for byte those of another run, but for the handles by which they refer."""
        mine = self._renumbered(rows, self._numbers)
        return np.array_equal(mine, other._renumbered(other_rows, self._numbers))

    def _renumbered(self, rows: slice, numbers: Mapping[bytes, int]) -> NDArray[np.uint8]:
        run = self.entry.run
        handles = {node: numbers.get(self.meanings[old], _NO_HANDLE) for old, node in run.targets.items()}
        return np.frombuffer(run.take(rows).renumbered(handles), dtype=np.uint8)

    def make(self, rows: Iterable[int]) -> Iterator[PathObject]:
        """The objects of some rows.

        Raises
        ------
        DataFileError
            Something that they share with others has been changed since.
        """
        if any(_meaning(node) != self.meanings[handle] for handle, node in self.entry.run.targets.items()):
            raise DataFileError("what many objects share was changed")
        return (self.data.object_at(self.entry, row) for row in rows)


def _meaning(node: Node) -> bytes:
    return write_stream([ClassObject(node) if isinstance(node, ClassDesc) else node])


@dataclass(frozen=True, slots=True, eq=False)
class RunRows(LeafRows):
    """Objects that are rows of runs.

    Parameters
    ----------
    ids, parents
        See :class:`LeafRows`.
    runs
        The runs.
    run_index, row
        Where each object is: number of its run, and its row, shape (n,), int64.
    """

    runs: tuple[KnownRun, ...]
    run_index: NDArray[np.int64]
    row: NDArray[np.int64]

    @classmethod
    def of(cls, data: QpData) -> RunRows:
        """The rows of all runs of a file, but for tiles in the table."""
        entries = data.runs
        sizes = [len(entry.run) for entry in entries]
        ids = [np.ascontiguousarray(entry.ids).view(ID).reshape(-1) for entry in entries]
        return cls(
            np.concatenate([np.empty(0, ID), *ids]),
            id_array(entry.parent.visible_id for entry in entries)[np.repeat(np.arange(len(sizes)), sizes)],
            tuple(KnownRun.of(data, entry) for entry in entries),
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
        for known, n in zip(self.runs, np.bincount(self.run_index, minlength=len(self.runs)).tolist(), strict=True):
            if known.entry.record.type is not None:
                counts[known.entry.record.type] += n
        return counts

    def objects(self) -> Iterator[PathObject]:
        """Make the objects.

        Raises
        ------
        DataFileError
            Something that they share with others has been changed since.
        """
        for number in np.unique(self.run_index).tolist():
            rows = self.run_index == number
            made = self.runs[number].make(self.row[rows].tolist())
            for obj, parent in zip(made, self.parents[rows].tolist(), strict=True):
                yield replace(obj, parent=object_id(parent))

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
