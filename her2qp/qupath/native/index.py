"""The objects of a hierarchy in order, found by walking the graph once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import DataFileError
from her2qp.qupath.java import Instance, Item, Run
from her2qp.qupath.native import uuids
from her2qp.qupath.native.cursor import get_primitive
from her2qp.qupath.native.records import OBJECT_ID_KEY, Record, read_record
from her2qp.qupath.native.values import stored_id
from her2qp.qupath.objects import ObjectType

_PLACES = uuid5(NAMESPACE_URL, "her2qp:place-in-hierarchy")

_IN_RUNS = (ObjectType.DETECTION, ObjectType.TILE, ObjectType.CELL)
"""Types of which there may be so many that runs of them are left as they are."""


@dataclass(eq=False)
class Entry:
    """One object that is a node of its own.

    Parameters
    ----------
    record
        The object.
    parent
        None for the root.
    position
        Its number among its siblings.
    """

    record: Record
    parent: Entry | None
    position: int

    @cached_property
    def place(self) -> UUID:
        """A UUID of the place in the hierarchy: the same as long as nothing is put before it."""
        return _PLACES if self.parent is None else place_below(self.parent.place, self.position)

    @cached_property
    def id(self) -> UUID:
        """The object's id; where the file has none, it follows from the place."""
        return stored_id(self.record) or self.place

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
        The parts of the run's template.
    parent
        Their parent.
    position
        Number of the first among its siblings.
    """

    run: Run
    record: Record
    parent: Entry
    position: int

    @cached_property
    def ids(self) -> NDArray[np.uint8]:
        """Ids of the rows, shape (n, 16), uint8."""
        text = next((v for k, v in self.record.metadata_strings() if k == OBJECT_ID_KEY), None)
        offset = None if text is None else self.run.layout.payloads.get(text)
        if text is None or offset is None or len(text.raw) != uuids.TEXT_SIZE or self.record.uuid is not None:
            return self._ids_one_by_one(np.ones(len(self.run), dtype=np.bool_), uuids.empty(len(self.run)))
        ids, is_valid = uuids.parse(self.run.column(offset, "u1", uuids.TEXT_SIZE).view(np.uint8))
        return self._ids_one_by_one(~is_valid, ids)

    def _ids_one_by_one(self, rows: NDArray[np.bool_], ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
        for row in np.flatnonzero(rows).tolist():
            entry = self.entry(row)
            ids[row] = np.frombuffer(entry.id.bytes, dtype=np.uint8)
        return ids

    def entry(self, row: int) -> Entry:
        """Make the object of one row."""
        return Entry(read_record(self.run.instance(row)), self.parent, self.position + row)

    def rows_in(self, ids: set[bytes]) -> NDArray[np.bool_]:
        """Which rows have one of some ids, shape (n,), bool."""
        return np.fromiter(map(ids.__contains__, uuids.as_bytes(self.ids)), dtype=np.bool_, count=len(self.run))


AnyEntry: TypeAlias = Entry | RunEntry


def place_below(place: UUID, position: int) -> UUID:
    """The place of a child."""
    return uuid5(place, str(position))


@dataclass(eq=False)
class Index:
    """All objects of a hierarchy, parents before children, in QuPath's order.

    Parameters
    ----------
    root
        The root object.
    entries
        Everything below it.
    """

    root: Entry
    entries: list[AnyEntry] = field(default_factory=list)

    @cached_property
    def by_id(self) -> dict[UUID, list[Entry]]:
        """The objects that are nodes of their own. An id may occur twice: QuPath does not mind."""
        found: dict[UUID, list[Entry]] = {}
        for entry in self.entries:
            if isinstance(entry, Entry):
                found.setdefault(entry.id, []).append(entry)
        return found

    @property
    def runs(self) -> Iterator[RunEntry]:
        """The objects that are rows of runs."""
        return (entry for entry in self.entries if isinstance(entry, RunEntry))


def read_index(root: Instance) -> Index:
    """Walk a hierarchy.

    Runs of annotations or of objects with children are made objects on the way: they are few, and are changed in
    place.

    Raises
    ------
    DataFileError
        The hierarchy is damaged, or an object is in it twice.
    UnsupportedDataError
        It holds an object of an unknown class.
    """
    _expand(root.content)
    index = Index(Entry(read_record(root), None, 0))
    seen = {id(root)}
    stack = [_children(index.root)]
    while stack:
        for entry in stack[-1]:
            index.entries.append(entry)
            if isinstance(entry, Entry):
                if id(entry.record.instance) in seen:
                    raise DataFileError("an object is in the hierarchy twice")
                seen.add(id(entry.record.instance))
                if entry.record.children[0] != entry.record.children[1]:
                    stack.append(_children(entry))
                    break
        else:
            stack.pop()
    return index


def _children(parent: Entry) -> Iterator[AnyEntry]:
    position = 0
    for item in parent.record.child_items:
        if isinstance(item, Run):
            yield _run_entry(item, parent, position)
            position += len(item)
        elif isinstance(item, Instance):
            _expand(item.content)
            record = read_record(item)
            if record.type is None:
                raise DataFileError("a root object is in the hierarchy as a child")
            yield Entry(record, parent, position)
            position += 1


def _run_entry(run: Run, parent: Entry, position: int) -> RunEntry:
    record = read_record(run.layout.template)
    count = run.layout.payloads[id(record.content), record.child_count[0]] + record.child_count[1]
    if run.column(count, ">i4").any():
        raise DataFileError("an object has fewer children than it says")
    return RunEntry(run, record, parent, position)


def _expand(content: list[Item]) -> None:
    """Make the objects of the runs in an annotation that cannot stay runs."""
    if any(isinstance(item, Run) and not _may_stay(item) for item in content):
        content[:] = [
            made
            for item in content
            for made in (item.instances() if isinstance(item, Run) and not _may_stay(item) else (item,))
        ]


def _may_stay(run: Run) -> bool:
    try:
        record = read_record(run.layout.template)
    except DataFileError:
        return False
    return record.type in _IN_RUNS and get_primitive(record.content, record.child_count, ">i") == 0


def expand_all(index: Index, ids: set[bytes]) -> bool:
    """Make objects of the rows that have one of some ids; whether there were any. The index is stale then."""
    found = False
    for entry in list(index.runs):
        rows = entry.rows_in(ids)
        if rows.any():
            found = True
            _split(entry, rows)
    return found


def _split(entry: RunEntry, rows: NDArray[np.bool_]) -> None:
    content = entry.parent.record.content
    pieces: list[Item] = []
    start = 0
    for row in [*np.flatnonzero(rows).tolist(), len(entry.run)]:
        if row > start:
            pieces.append(entry.run.take(slice(start, row)))
        if row < len(entry.run):
            pieces.append(entry.run.instance(row))
        start = row + 1
    place = content.index(entry.run)
    content[place : place + 1] = pieces
