"""Runs of records of one length: tiles by the million."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.java.graph import ClassDesc, JavaArray, JavaString, Node
from her2qp.qupath.java.runs import Layout, Run, Slot

Records: TypeAlias = NDArray[np.uint8]
"""One row a record, shape (n, size), uint8."""


class UniformRun(Run):
    """Objects of the same layout.

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
        super().__init__(targets)
        self.layout = layout
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    @property
    def parts(self) -> tuple[UniformRun]:
        """See :attr:`Run.parts`."""
        return (self,)

    @property
    def numbers(self) -> NDArray[np.intp]:
        """See :attr:`Rows.numbers`."""
        return np.arange(len(self))

    @property
    def n_handles(self) -> int:
        """See :attr:`Run.n_handles`."""
        return len(self) * self.layout.n_handles

    @property
    def n_bytes(self) -> int:
        """See :attr:`Run.n_bytes`."""
        return int(self.records.size)

    def row_of_handle(self, index: int) -> tuple[int, int]:
        """See :meth:`Run.row_of_handle`."""
        return divmod(index, self.layout.n_handles)

    def take(self, rows: NDArray[np.bool_] | slice) -> UniformRun:
        """See :meth:`Run.take`."""
        taken = UniformRun(self.layout, self.records[rows], self.targets)
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
        """See :meth:`Rows.column`."""
        size = np.dtype(dtype).itemsize * count
        return np.ascontiguousarray(self.records[:, offset : offset + size]).view(dtype)

    def elements(self, array: JavaArray, dtype: str) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
        """See :meth:`Rows.elements`."""
        size = len(array)
        elements = self.column(self.layout.payloads[array], dtype, size).ravel()
        return elements, np.full(len(self), size, dtype=np.int64)

    def handles_at(self, slot: Slot) -> NDArray[np.uint32]:
        """See :meth:`Rows.handles_at`."""
        return self.column(slot.offset, ">u4")[:, 0].astype(np.uint32)

    def text_sizes(self, text: JavaString) -> NDArray[np.int64]:
        """See :meth:`Rows.text_sizes`."""
        return np.full(len(self), len(text.raw))

    def record(self, row: int) -> bytes:
        """See :meth:`Run.record`."""
        return bytes(self.records[row])

    def first_row_with(self, is_wanted: Callable[[Node], bool], start: int = 0) -> int:
        """See :meth:`Run.first_row_with`."""
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
        """See :meth:`Run.renumbered`."""
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
