"""Runs of records of one length: tiles by the million."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.java.graph import ClassDesc, JavaArray, JavaString, Node
from her2qp.qupath.java.runs import Layout, Run, Slot, first_rows

Records: TypeAlias = NDArray[np.uint8]
"""One row a record, shape (n, size), uint8."""

_BYTES_AT_ONCE = 1 << 17
"""Records are compared and rewritten in parts that a processor's cache holds."""

_FIRST_ROWS = 32
"""So many rows are compared first, because most rows that are no run differ at once."""


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
    constants
        The slots that have the same handle in all rows, with the handle; None: to be found when needed.
    """

    def __init__(
        self,
        layout: Layout,
        records: Records,
        targets: Mapping[int, Node],
        constants: Mapping[Slot, int] | None = None,
    ) -> None:
        super().__init__(targets)
        self.layout = layout
        self.records = records
        self._constants = constants

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
        return UniformRun(self.layout, self.records[rows], self.targets, self._constants)

    @property
    def constants(self) -> Mapping[Slot, int]:
        """The slots that have the same handle in all rows, with the handle."""
        if self._constants is None:
            self._constants = self._find_constants()
        return self._constants

    def _find_constants(self) -> dict[Slot, int]:
        constants = {}
        for slot in self.layout.slots + self.layout.class_slots:
            is_class = isinstance(slot.target, ClassDesc)
            column = self.take(slice(1)).handles_at(slot) if is_class else self.handles_at(slot)
            if (column == column[:1]).all():
                constants[slot] = int(column[0])
        return constants

    def column(self, offset: int, dtype: str, count: int = 1) -> NDArray[np.generic]:
        """See :meth:`Rows.column`."""
        return self.records[:, offset : offset + np.dtype(dtype).itemsize * count].view(dtype)

    def elements(self, array: JavaArray, dtype: str) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
        """See :meth:`Rows.elements`."""
        size = len(array)
        elements = self.column(self.layout.payloads[array], dtype, size).ravel()
        return elements, np.full(len(self), size, dtype=np.int64)

    def handles_at(self, slot: Slot) -> NDArray[np.uint32]:
        """See :meth:`Rows.handles_at`."""
        return self.column(slot.offset, ">u4")[:, 0].astype(np.uint32)

    def first_rows(self, slot: Slot) -> dict[int, int]:
        """See :meth:`Rows.first_rows`."""
        return {self.constants[slot]: 0} if slot in self.constants else first_rows(self.handles_at(slot))

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
        if all(old == new for old, new in known.items()):
            return np.ascontiguousarray(self.records).reshape(-1).data
        records = np.empty(self.records.shape, dtype=np.uint8)
        in_cache = max(1, _BYTES_AT_ONCE // self.records.shape[1])
        fixed = [(slot.offset, _big_endian(known[handle])) for slot, handle in self.constants.items()]
        for start in range(0, len(self), in_cache):
            part = records[start : start + in_cache]
            part[:] = self.records[start : start + in_cache]
            for offset, handle in fixed:
                part[:, offset : offset + 4] = handle
        old = np.array(sorted(known), dtype=np.uint32)
        new = np.array([known[handle] for handle in sorted(known)], dtype=">u4")
        for slot in self._varying:
            renumbered = new[np.searchsorted(old, self.handles_at(slot))]
            records[:, slot.offset : slot.offset + 4] = renumbered[:, None].view(np.uint8)
        return records.reshape(-1).data


def find_alike(layout: Layout, records: Records) -> tuple[int, dict[Slot, int]]:
    """How many of the leading records have the structure of a layout, and the slots with one handle in all of them."""
    template = np.frombuffer(layout.record, dtype=np.uint8)
    if not len(records) or ((records[0] ^ template) & layout.structure).any():
        return 0, {}
    first, varies = records[0], np.zeros_like(template)
    row, n_rows = 0, _FIRST_ROWS
    while row < len(records):
        differs = records[row : row + n_rows] ^ first
        vary_here = np.bitwise_or.reduce(differs, axis=0)
        if (vary_here & layout.structure).any():
            n_alike = int(((differs & layout.structure) != 0).ravel().argmax()) // len(first)
            varies |= np.bitwise_or.reduce(differs[:n_alike], axis=0)
            row += n_alike
            break
        varies |= vary_here
        row += len(differs)
        n_rows = max(1, _BYTES_AT_ONCE // len(first))
    offsets = {slot: slice(slot.offset, slot.offset + 4) for slot in layout.slots + layout.class_slots}
    varying, handles = varies.tobytes(), first.tobytes()
    return row, {
        slot: int.from_bytes(handles[place], "big") for slot, place in offsets.items() if not any(varying[place])
    }


def _big_endian(handle: int) -> NDArray[np.uint8]:
    return np.frombuffer(struct.pack(">I", handle), np.uint8)
