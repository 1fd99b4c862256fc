"""The objects of a hierarchy and their ids, those included that the file does not give.

QuPath 0.3 stores no ids. An object without one gets an id of its parent's and of its number among the siblings that
have none either, so that it is the same at every reading and whatever is added or removed that carries an id. An
edit that would change it writes it down instead (:mod:`~her2qp.qupath.native.surgery`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias
from uuid import NAMESPACE_URL, UUID, uuid5
from weakref import ReferenceType

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath import uuids
from her2qp.qupath.java import Run
from her2qp.qupath.native.records import Record, read_record
from her2qp.qupath.native.values import read_metadata
from her2qp.qupath.objects import OBJECT_ID_KEY

_TOP = uuid5(NAMESPACE_URL, "her2qp:place-in-hierarchy")


@dataclass(eq=False)
class Entry:
    """One object that is a node of its own.

    Parameters
    ----------
    record
        The object.
    parent
        None for the root.
    places
        Gives the id where the file has none; lives as long as the index that it belongs to.
    """

    record: Record
    parent: Entry | None
    places: ReferenceType[Places]

    @cached_property
    def _id_and_metadata(self) -> tuple[UUID | None, dict[str, str]]:
        return read_metadata(self.record)

    @property
    def stored_id(self) -> UUID | None:
        """The id that the file gives."""
        return self._id_and_metadata[0]

    @property
    def metadata(self) -> dict[str, str]:
        """Its metadata but for the id."""
        return dict(self._id_and_metadata[1])

    @cached_property
    def id(self) -> UUID:
        """The object's id."""
        return self.stored_id or _derived_ids(self)[0]

    def singles(self) -> Iterator[Entry]:
        """The object itself, as a run gives its rows."""
        yield self

    @property
    def visible_id(self) -> UUID | None:
        """The id by which children name their parent: None for the root."""
        return None if self.parent is None else self.id


@dataclass(eq=False)
class RunEntry:
    """Leaf objects that are rows of a run.

    Parameters
    ----------
    run
        The rows.
    record
        The parts of one of the objects, which is not itself in the hierarchy.
    parent
        Their parent.
    places
        As for :class:`Entry`.
    """

    run: Run
    record: Record
    parent: Entry
    places: ReferenceType[Places]

    @cached_property
    def stored_ids(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The ids that the file gives, shape (n, 16), uint8, and which rows have one, shape (n,), bool."""
        n = len(self.run)
        ids, is_stored, is_unclear = uuids.empty(n), np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        for part in self.run.parts:
            record, rows = read_record(part.layout.template), part.numbers
            text = next((v for k, v in record.metadata_strings() if k == OBJECT_ID_KEY), None)
            offset = None if text is None or len(text.raw) != uuids.TEXT_SIZE else part.layout.payloads.get(text)
            if text is not None and offset is not None and record.uuid is None:
                found, is_id = uuids.parse(part.column(offset, "u1", uuids.TEXT_SIZE).view(np.uint8))
                ids[rows], is_stored[rows] = found, is_id & (part.text_sizes(text) == uuids.TEXT_SIZE)
            is_unclear[rows] = ~is_stored[rows] & (record.metadata is not None or record.uuid is not None)
        for row in np.flatnonzero(is_unclear).tolist():
            one, _ = read_metadata(read_record(self.run.instance(row)))
            if one is not None:
                ids[row], is_stored[row] = np.frombuffer(one.bytes, dtype=np.uint8), True
        return ids, is_stored

    @cached_property
    def ids(self) -> NDArray[np.uint8]:
        """Ids of the rows, shape (n, 16), uint8."""
        ids, is_stored = self.stored_ids
        if not is_stored.all():
            ids = ids.copy()
            derived = b"".join(found.bytes for found in _derived_ids(self))
            ids[~is_stored] = np.frombuffer(derived, dtype=np.uint8).reshape(-1, 16)
        return ids

    def take_ids(self, others: Iterable[RunEntry]) -> None:
        """Take the ids from one of `others` that holds the same bytes, instead of reading them again."""
        for other in others:
            if other.run.holds_bytes_of(self.run) and other.stored_ids[1].all():
                self.stored_ids = other.stored_ids

    def entry(self, row: int) -> Entry:
        """Make the object of one row."""
        entry = Entry(read_record(self.run.instance(row)), self.parent, self.places)
        entry.id = UUID(bytes=self.ids[row].tobytes())
        return entry

    def singles(self) -> Iterator[Entry]:
        """Make the objects of all rows, one by one."""
        return map(self.entry, range(len(self.run)))

    def rows_in(self, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which rows have one of some ids, shape (m, 16); shape (n,), bool."""
        return uuids.rows_among(self.ids, ids)


AnyEntry: TypeAlias = Entry | RunEntry


def _derived_ids(entry: AnyEntry) -> list[UUID]:
    places = entry.places()
    assert places is not None  # noqa: S101 - an entry is used with the index that it is in
    return places.ids[entry]


@dataclass(eq=False)
class Places:
    """The ids of objects that carry none.

    The entries refer to it weakly: a cycle would keep the memory of a file, of which there may be thousands in a row,
    until the garbage collector comes.

    Parameters
    ----------
    entries
        Everything below the root, parents before children.
    """

    entries: list[AnyEntry] = field(default_factory=list)

    @cached_property
    def ids(self) -> dict[AnyEntry, list[UUID]]:
        """Ids of the objects without one, in the order of the hierarchy; several for the rows of a run."""
        lacking = [(entry, n) for entry in self.entries if (n := _count_lacking(entry))]
        taken = self._stored_ids() if lacking else set()
        ids: dict[AnyEntry, list[UUID]] = {}
        numbers: Counter[Entry] = Counter()
        for entry, n in lacking:
            parent = entry.parent
            assert parent is not None  # noqa: S101 - the root is no entry
            above = _TOP if parent.parent is None else parent.stored_id or ids[parent][0]
            ids[entry] = []
            while len(ids[entry]) < n:
                made = uuid5(above, str(numbers[parent]))
                numbers[parent] += 1
                if made.bytes not in taken:  # else it was written down, for an object that has moved since
                    ids[entry].append(made)
        return ids

    def _stored_ids(self) -> set[bytes]:
        stored: set[bytes] = set()
        for entry in self.entries:
            if isinstance(entry, RunEntry):
                ids, is_stored = entry.stored_ids
                stored.update(uuids.as_bytes(ids[is_stored]))
            elif entry.stored_id is not None:
                stored.add(entry.stored_id.bytes)
        return stored


def _count_lacking(entry: AnyEntry) -> int:
    if isinstance(entry, RunEntry):
        return int(np.count_nonzero(~entry.stored_ids[1]))
    return int(entry.stored_id is None)
