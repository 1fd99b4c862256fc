"""Runs: long rows of objects that differ only in their values, kept as the raw bytes that they are in the stream.

A million tiles are a million records of the same length whose bytes are equal but for ids, coordinates and
measurements. A :class:`Layout` says which bytes of such a record carry values ("payload"), which refer to other
objects ("slots") and which make up its structure. Records of one length make up a
:class:`~her2qp.qupath.java.uniformruns.UniformRun`, those that differ in length a
:class:`~her2qp.qupath.java.mixedruns.MixedRun`. Whoever needs a single object of a run makes it
(:meth:`Run.instance`); nothing else is ever built.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import DataFileError
from her2qp.qupath.java.graph import Instance, Item, JavaArray, JavaString, Node
from her2qp.qupath.java.handles import HandleTable
from her2qp.qupath.java.reader import StreamReader

OWN_HANDLES = 1 << 31
"""First handle of what is in a record while it is read or written alone: none of a real stream is as high."""

_FEW = 32
"""Up to so many distinct handles are found faster one after the other than by sorting."""


@dataclass(frozen=True, slots=True, eq=False)
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

    def handle_at(self, slot: Slot) -> int:
        """The handle in a slot of the template's record."""
        return int.from_bytes(self.record[slot.offset : slot.offset + 4], "big")

    def slot_of(self, target: object) -> Slot | None:
        """The only slot that refers to `target` in the template; None if there is none or more than one."""
        slots = [slot for slot in self.slots if slot.target is target]
        return slots[0] if len(slots) == 1 else None


def first_rows(handles: NDArray[np.uint32]) -> dict[int, int]:
    """The handles that occur, in order of appearance, each with the first row that has it."""
    found: dict[int, int] = {}
    unseen: NDArray[np.bool_] | None = None
    row = 0
    while len(handles) and (unseen is None or unseen[row]):
        if len(found) == _FEW:
            distinct, rows = np.unique(handles, return_index=True)
            order = np.argsort(rows)
            return dict(zip(distinct[order].tolist(), rows[order].tolist(), strict=True))
        found[int(handles[row])] = row
        differs = handles != handles[row]
        unseen = differs if unseen is None else unseen & differs
        row = int(unseen.argmax())
    return found


class Rows(Protocol):
    """Those records of a run that have the same structure."""

    @property
    def layout(self) -> Layout:
        """Their form. In the records of a mixed run, strings and arrays may be longer or shorter."""

    @property
    def numbers(self) -> NDArray[np.intp]:
        """Their places in the run, shape (n,), ascending."""

    @property
    def targets(self) -> Mapping[int, Node]:
        """What the handles in them stand for."""

    def column(self, offset: int, dtype: str, count: int = 1) -> NDArray[np.generic]:
        """Values in every record, shape (n, count). They may be a view of the file.

        Parameters
        ----------
        offset
            First byte in the layout's record.
        dtype
            NumPy's name of the type in the file, such as ``">f8"``.
        count
            Number of successive values.
        """

    def elements(self, array: JavaArray, dtype: str) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
        """Elements of an array of the layout's template in all records, one record after the other.

        Parameters
        ----------
        array
            Of numbers.
        dtype
            NumPy's name of their type in the file.

        Returns
        -------
        elements, sizes
            Shape (sizes.sum(),), and how many each record has, shape (n,).
        """

    def handles_at(self, slot: Slot) -> NDArray[np.uint32]:
        """Handles in a slot, shape (n,), uint32."""

    def first_rows(self, slot: Slot) -> dict[int, int]:
        """The handles that occur in a slot, each with the place in the run of the first record that has it."""

    def text_sizes(self, text: JavaString) -> NDArray[np.int64]:
        """Bytes of a string of the layout's template, shape (n,)."""


class Run:  # no ABC: every item of a file is asked whether it is a run, which is slow with that
    """Objects that are not built, one after the other in an annotation.

    Parameters
    ----------
    targets
        What the handles in the records stand for.
    """

    def __init__(self, targets: Mapping[int, Node]) -> None:
        self.targets = targets

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def parts(self) -> Sequence[Rows]:
        """The records, by their structure."""

    @property
    @abstractmethod
    def n_handles(self) -> int:
        """Number of handles that the objects take."""

    @property
    @abstractmethod
    def n_bytes(self) -> int:
        """Number of bytes of the records."""

    @abstractmethod
    def row_of_handle(self, index: int) -> tuple[int, int]:
        """Row that takes the handle of a number, counted from the run's first, and its number in the row."""

    @abstractmethod
    def take(self, rows: NDArray[np.bool_] | slice) -> Run:
        """The run of some of the rows, in the same order; a slice has no step."""

    @abstractmethod
    def record(self, row: int) -> bytes:
        """Bytes of one row."""

    @abstractmethod
    def renumbered(self, handles: Mapping[Node, int]) -> memoryview:
        """The records with other handles, as bytes.

        Parameters
        ----------
        handles
            New handles of the nodes that the records refer to.
        """

    def holds_bytes_of(self, other: Run) -> bool:
        """Whether the records are those of another run and lie in the same memory."""
        return False

    @abstractmethod
    def first_row_with(self, is_wanted: Callable[[Node], bool], start: int = 0) -> int:
        """First row from `start` that refers to a wanted node; the number of rows if there is none."""

    def instance(self, row: int) -> Instance:
        """Make the object of one row."""
        return self.nodes(row)[0]

    def instances(self) -> Iterator[Instance]:
        """Make the objects of all rows, one by one."""
        return (self.instance(row) for row in range(len(self)))

    def nodes(self, row: int) -> tuple[Instance, list[Node]]:
        """Make the object of one row; also all nodes that got a handle in it, in the order of the handles."""
        return read_record(self.record(row), self.targets.__getitem__)


class _RecordHandles(HandleTable):
    """Handles while one record is read alone: its own objects, and whatever it refers to outside it."""

    def __init__(self, look_up: Callable[[int], Node]) -> None:
        super().__init__(OWN_HANDLES)
        self._look_up = look_up

    def __missing__(self, handle: int) -> Node:
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
    content = StreamReader(record, handles).read()
    if len(content) != 1 or not isinstance(content[0], Instance):
        raise DataFileError("a record of a run is not one object")
    return content[0], list(handles.values())


def expand_runs(content: list[Item]) -> list[Item]:
    """Make the objects of all runs in an annotation, in place; returns the annotation."""
    if any(isinstance(item, Run) for item in content):
        expanded: list[Item] = []
        for item in content:
            expanded.extend(item.instances() if isinstance(item, Run) else (item,))
        content[:] = expanded
    return content
