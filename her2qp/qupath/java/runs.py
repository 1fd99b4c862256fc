"""Runs: long rows of objects that differ only in their values, kept as the raw bytes that they are in the stream.

A million tiles are a million records of the same length whose bytes are equal but for ids, coordinates and
measurements. A :class:`Layout` says which bytes of such a record carry values ("payload"), which refer to other
objects ("slots") and which make up its structure; a :class:`Run` is the records as one array. Whoever needs a single
object of a run makes it (:meth:`Run.instance`); nothing else is ever built.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import DataFileError
from her2qp.qupath.java.graph import ClassDesc, Instance, Item, Node
from her2qp.qupath.java.reader import StreamReader

Records: TypeAlias = NDArray[np.uint8]
"""One row a record, shape (n, size), uint8."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A back reference in a record: where its four bytes are, and what it refers to in the template."""

    offset: int
    target: Node


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The form of the records of a run.

    Parameters
    ----------
    template
        One such record as an object. Never part of a graph that is written or changed.
    record
        The bytes of the template.
    structure
        0xFF for the bytes that are the same in all records, else 0; shape (size,), uint8.
    payloads
        Where the values of an owner begin: an owner is the ClassData of primitive fields, a string, an array of
        primitives, or ``(id(content), index)`` of a block in an annotation.
    slots
        The references to objects. They may differ from row to row.
    class_slots
        The references to classes. They are the same in all rows.
    n_handles
        Number of handles that a record takes.
    """

    template: Instance
    record: bytes
    structure: NDArray[np.uint8]
    payloads: Mapping[object, int]
    slots: tuple[Slot, ...]
    class_slots: tuple[Slot, ...]
    n_handles: int

    def slot_of(self, target: Node | None) -> Slot | None:
        """The only slot that refers to `target` in the template; None if there is none or more than one."""
        slots = [slot for slot in self.slots if slot.target is target]
        return slots[0] if len(slots) == 1 else None


class Run:
    """Objects of the same layout, one after the other in an annotation.

    Parameters
    ----------
    layout
        Their form.
    records
        Their bytes, shape (n, size), uint8. Never changed.
    targets
        What the handles in the records stand for.
    """

    def __init__(self, layout: Layout, records: Records, targets: Mapping[int, Node]) -> None:
        self.layout = layout
        self.records = records
        self.targets = targets

    def __len__(self) -> int:
        return len(self.records)

    def take(self, rows: NDArray[np.bool_] | slice) -> Run:
        """The run of some of the rows, in the same order."""
        taken = Run(self.layout, self.records[rows], self.targets)
        if "constants" in self.__dict__:
            taken.__dict__["constants"] = self.constants
        return taken

    @cached_property
    def constants(self) -> dict[Slot, int]:
        """The slots that have the same handle in all rows, with the handle."""
        constants = {}
        for slot in self.layout.slots + self.layout.class_slots:
            is_class = isinstance(slot.target, ClassDesc)
            column = self.take(slice(1)).handles_at(slot) if is_class else self.handles_at(slot)
            if (column == column[:1]).all():
                constants[slot] = int(column[0])
        return constants

    def column(self, offset: int, dtype: str, count: int = 1) -> NDArray[np.generic]:
        """Values at an offset of every record, shape (n, count).

        Parameters
        ----------
        offset
            First byte in the record.
        dtype
            NumPy's name of the type in the file, such as ``">f8"``.
        count
            Number of successive values.
        """
        size = np.dtype(dtype).itemsize * count
        return np.ascontiguousarray(self.records[:, offset : offset + size]).view(dtype)

    def handles_at(self, slot: Slot) -> NDArray[np.uint32]:
        """Handles in a slot, shape (n,), uint32."""
        return self.column(slot.offset, ">u4")[:, 0].astype(np.uint32)

    def instance(self, row: int) -> Instance:
        """Make the object of one row."""
        return self.nodes(row)[0]

    def instances(self) -> Iterator[Instance]:
        """Make the objects of all rows, one by one."""
        return (self.instance(row) for row in range(len(self)))

    def nodes(self, row: int) -> tuple[Instance, list[Node]]:
        """Make the object of one row; also all nodes that got a handle in it, in the order of the handles."""
        return read_record(self.records[row].tobytes(), self.targets.__getitem__)

    def first_row_with(self, is_wanted: Callable[[Node], bool], start: int = 0) -> int:
        """First row from `start` that refers to a wanted node; the number of rows if there is none."""
        wanted = [handle for handle, node in self.targets.items() if is_wanted(node)]
        if not wanted or start >= len(self):
            return len(self)
        if any(handle in wanted for handle in self.constants.values()):
            return start
        rest = self.take(slice(start, None))
        first = len(self)
        for slot in self._varying:
            hits = np.isin(rest.handles_at(slot), wanted)
            if hits.any():
                first = min(first, start + int(hits.argmax()))
        return first

    @property
    def _varying(self) -> list[Slot]:
        return [slot for slot in self.layout.slots if slot not in self.constants]

    def renumbered(self, handles: Mapping[Node, int]) -> memoryview:
        """The records with other handles, as bytes.

        Parameters
        ----------
        handles
            New handles of the nodes that the records refer to.
        """
        known = {old: handles[node] for old, node in self.targets.items() if node in handles}
        records = self.records
        if any(old != new for old, new in known.items()):
            records = records.copy()
            old = np.array(sorted(known), dtype=np.uint32)
            new = np.array([known[handle] for handle in sorted(known)], dtype=">u4")
            for slot, handle in self.constants.items():
                records[:, slot.offset : slot.offset + 4] = np.frombuffer(struct.pack(">I", known[handle]), np.uint8)
            for slot in self._varying:
                renumbered = new[np.searchsorted(old, self.handles_at(slot))]
                records[:, slot.offset : slot.offset + 4] = renumbered[:, None].view(np.uint8)
        return np.ascontiguousarray(records).reshape(-1).data


class _RecordHandles:
    """Handles while one record is read alone: its own objects, and whatever it refers to outside it."""

    def __init__(self, look_up: Callable[[int], Node]) -> None:
        self.own: list[Node] = []
        self._look_up = look_up

    def add(self, node: Node) -> None:
        self.own.append(node)

    def __getitem__(self, handle: int) -> Node:
        return self._look_up(handle)


def read_record(record: bytes, look_up: Callable[[int], Node]) -> tuple[Instance, list[Node]]:
    """Parse one object cut out of a stream.

    Parameters
    ----------
    record
        Its bytes.
    look_up
        Gives the node of a handle outside the record; KeyError if there is none.

    Returns
    -------
    object, nodes
        The object, and all nodes that were numbered within it, in order (the object need not be the first).

    Raises
    ------
    DataFileError
        The bytes are not one object that is complete in itself.
    """
    handles = _RecordHandles(look_up)
    reader = StreamReader(record, handles)
    content: list[Item] = []
    reader.drive(reader.read_content(content, is_top=True))
    if len(content) != 1 or not isinstance(content[0], Instance):
        raise DataFileError("a record of a run is not one object")
    return content[0], handles.own


def expand_runs(content: list[Item]) -> list[Item]:
    """Make the objects of all runs in an annotation, in place; returns the annotation."""
    if any(isinstance(item, Run) for item in content):
        expanded: list[Item] = []
        for item in content:
            expanded.extend(item.instances() if isinstance(item, Run) else (item,))
        content[:] = expanded
    return content
