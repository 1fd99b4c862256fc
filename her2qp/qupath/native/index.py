"""The objects of a hierarchy in order, found by walking the graph once."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import DataFileError
from her2qp.qupath import uuids
from her2qp.qupath.java import Instance, Item, MixedRun, Run, UniformRun
from her2qp.qupath.native.cursor import get_primitive
from her2qp.qupath.native.entries import AnyEntry, Entry, Places, RunEntry
from her2qp.qupath.native.records import read_record
from her2qp.qupath.objects import ObjectType

_IN_RUNS = (ObjectType.DETECTION, ObjectType.TILE, ObjectType.CELL)
"""Types of which there may be so many that runs of them are left as they are."""

_RUNS = frozenset((UniformRun, MixedRun))


@dataclass(eq=False)
class Index:
    """All objects of a hierarchy, parents before children, in QuPath's order.

    Parameters
    ----------
    root
        The root object.
    places
        Everything below it.
    """

    root: Entry
    places: Places = field(repr=False)

    @property
    def entries(self) -> list[AnyEntry]:
        """Everything below the root."""
        return self.places.entries

    @cached_property
    def by_id(self) -> dict[UUID, list[Entry]]:
        """The objects that are nodes of their own. An id may occur twice: QuPath does not mind."""
        found: dict[UUID, list[Entry]] = {}
        for entry in self.entries:
            if isinstance(entry, Entry):
                found.setdefault(entry.id, []).append(entry)
        return found

    @property
    def derived_ids(self) -> list[UUID]:
        """Ids of the objects that carry none, in order."""
        return [one for ids in self.places.ids.values() for one in ids]

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
        The hierarchy is damaged, an object is in it twice, or two objects share their measurements.
    UnsupportedDataError
        It holds an object of an unknown class.
    """
    _expand(root.content)
    places = Places()
    index = Index(Entry(read_record(root), None, weakref.ref(places)), places)
    seen = {id(root)}
    stack = [_children(index.root)]
    while stack:
        for entry in stack[-1]:
            index.entries.append(entry)
            if isinstance(entry, Entry):
                if id(entry.record.instance) in seen:
                    raise DataFileError("an object is in the hierarchy twice")
                seen.add(id(entry.record.instance))
                for node in entry.record.own_nodes():
                    if id(node) in seen:
                        raise _shared_measurements()
                    seen.add(id(node))
                if entry.record.children[0] != entry.record.children[1]:
                    stack.append(_children(entry))
                    break
        else:
            stack.pop()
    return index


def _children(parent: Entry) -> Iterator[AnyEntry]:
    for item in parent.record.child_items:
        if isinstance(item, Run):
            yield _run_entry(item, parent)
        elif isinstance(item, Instance):
            _expand(item.content)
            record = read_record(item)
            if record.type is None:
                raise DataFileError("a root object is in the hierarchy as a child")
            yield Entry(record, parent, parent.places)


def _run_entry(run: Run, parent: Entry) -> RunEntry:
    records = [read_record(part.layout.template) for part in run.parts]
    for part, record in zip(run.parts, records, strict=True):
        count = part.layout.payloads[id(record.content), record.child_count[0]] + record.child_count[1]
        if part.column(count, ">i4").any():
            raise DataFileError("an object has fewer children than it says")
        if any(slot.target is node for node in record.own_nodes() for slot in part.layout.slots):
            raise _shared_measurements()
    return RunEntry(run, records[0], parent, parent.places)


def _shared_measurements() -> DataFileError:
    """To change those of one object would change those of another; QuPath writes no such file."""
    return DataFileError("two objects share their measurements")


def _expand(content: list[Item]) -> None:
    """Make the objects of the runs in an annotation that cannot stay runs."""
    if not _RUNS.isdisjoint(map(type, content)):
        content[:] = [made for item in content for made in (_allowed(item) if isinstance(item, Run) else (item,))]


def _allowed(run: Run) -> Iterator[Run | Instance]:
    """A run as it may stay: rows of one type, without children; those of tiles in a table have one form."""
    try:
        records = [read_record(part.layout.template) for part in run.parts]
    except DataFileError:
        records = []
    kinds = {(record.type, record.is_table_tile) for record in records}
    n_children = sum(get_primitive(record.content, record.child_count, ">i") for record in records)
    if len(kinds) != 1 or records[0].type not in _IN_RUNS or n_children:
        yield from run.instances()
    elif records[0].is_table_tile and isinstance(run, MixedRun):
        yield from run.split()
    else:
        yield run


def expand_all(index: Index, ids: set[bytes]) -> bool:
    """Make objects of the rows that have one of some ids; whether there were any. The index is stale then."""
    found, wanted = False, uuids.from_bytes(ids)
    for entry in list(index.runs):
        rows = entry.rows_in(wanted)
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
