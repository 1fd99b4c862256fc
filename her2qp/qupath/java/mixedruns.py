"""Runs of records that differ in length: cells, each with as many vertices as its outline has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.java.forms import Form, at_every_byte, rows_at
from her2qp.qupath.java.graph import Instance, JavaArray, JavaString, Node
from her2qp.qupath.java.runs import Layout, Run, Slot, first_rows
from her2qp.qupath.java.uniformruns import UniformRun

_FEWEST_ROWS = 8
"""Shorter stretches are not worth a run of their own."""


class FormRows:
    """The records of one form in a mixed run.

    Parameters
    ----------
    form
        Their form.
    numbers
        Their places in the run, shape (n,).
    data
        Bytes of the whole run.
    starts
        Where each of the records begins, shape (n,).
    lengths
        Lengths of their stretches, shape (n, len(form.stretches)).
    targets
        What the handles in them stand for.
    """

    def __init__(
        self,
        form: Form,
        numbers: NDArray[np.intp],
        data: NDArray[np.uint8],
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        targets: Mapping[int, Node],
    ) -> None:
        self.targets = targets
        self.form = form
        self.numbers = numbers
        self._data = data
        self._starts = starts
        self._lengths = lengths

    @property
    def layout(self) -> Layout:
        """See :attr:`~her2qp.qupath.java.runs.Rows.layout`."""
        return self.form.layout

    def places(self, offset: int) -> NDArray[np.int64]:
        """Where in the data the byte is that is at an offset of the layout's record, shape (n,)."""
        places = self._starts + offset
        for column, stretch in enumerate(self.form.stretches):
            if stretch.offset < offset:
                places += (self._lengths[:, column] - stretch.n_elements) * stretch.element_size
        return places

    def column(self, offset: int, dtype: str, count: int = 1) -> NDArray[np.generic]:
        """See :meth:`~her2qp.qupath.java.runs.Rows.column`; what is longer in the layout's record is cut off."""
        size = np.dtype(dtype).itemsize * count
        return rows_at(self._data, np.minimum(self.places(offset), len(self._data) - size), size).view(dtype)

    def elements(self, array: JavaArray, dtype: str) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
        """See :meth:`~her2qp.qupath.java.runs.Rows.elements`."""
        offset, size = self.layout.payloads[array], np.dtype(dtype).itemsize
        sizes = self._lengths_at(offset)
        firsts = np.cumsum(sizes) - sizes
        places = np.repeat(self.places(offset) - firsts * size, sizes) + np.arange(sizes.sum()) * size
        return at_every_byte(self._data, dtype)[places], sizes

    def handles_at(self, slot: Slot) -> NDArray[np.uint32]:
        """See :meth:`~her2qp.qupath.java.runs.Rows.handles_at`."""
        return at_every_byte(self._data, ">u4")[self.places(slot.offset)].astype(np.uint32)

    def first_rows(self, slot: Slot) -> dict[int, int]:
        """See :meth:`~her2qp.qupath.java.runs.Rows.first_rows`."""
        return {handle: int(self.numbers[row]) for handle, row in first_rows(self.handles_at(slot)).items()}

    def text_sizes(self, text: JavaString) -> NDArray[np.int64]:
        """See :meth:`~her2qp.qupath.java.runs.Rows.text_sizes`."""
        return self._lengths_at(self.layout.payloads[text])

    def _lengths_at(self, offset: int) -> NDArray[np.int64]:
        column = next(i for i, stretch in enumerate(self.form.stretches) if stretch.offset == offset)
        return self._lengths[:, column]


class MixedRun(Run):
    """Objects of a few forms in any order.

    Parameters
    ----------
    forms
        The forms.
    data
        The records one after the other, uint8. Never changed.
    starts
        Where each record begins, and where the last ends, shape (n + 1,).
    form_of
        Row into `forms`, shape (n,).
    lengths
        Lengths of the stretches of each record's form, shape (n, greatest number of stretches).
    targets
        What the handles in the records stand for.
    """

    def __init__(
        self,
        forms: Sequence[Form],
        data: NDArray[np.uint8],
        starts: NDArray[np.int64],
        form_of: NDArray[np.intp],
        lengths: NDArray[np.int64],
        targets: Mapping[int, Node],
    ) -> None:
        super().__init__(targets)
        self.forms = forms
        self.data = data
        self.starts = starts
        self.form_of = form_of
        self.lengths = lengths

    def __len__(self) -> int:
        return len(self.form_of)

    @cached_property
    def parts(self) -> tuple[FormRows, ...]:
        """See :attr:`Run.parts`."""
        parts = []
        for number, form in enumerate(self.forms):
            rows = np.flatnonzero(self.form_of == number)
            if len(rows):
                lengths = self.lengths[rows, : len(form.stretches)]
                parts.append(FormRows(form, rows, self.data, self.starts[rows], lengths, self.targets))
        return tuple(parts)

    @property
    def is_uniform(self) -> bool:
        """Whether all records have one form and length, so that a :class:`UniformRun` can hold them."""
        return bool((self.form_of == self.form_of[:1]).all() and (self.lengths == self.lengths[:1]).all())

    def split(self) -> Iterator[UniformRun | Instance]:
        """The rows in order: stretches of one form and length as runs of their own, what is between them as objects."""
        n_lengths = self.lengths.shape[1]
        usual = np.zeros((len(self.forms), n_lengths), dtype=np.int64)
        for number, form in enumerate(self.forms):
            usual[number, : len(form.stretches)] = [stretch.n_elements for stretch in form.stretches]
        kinds = np.where((self.lengths == usual[self.form_of]).all(axis=1), self.form_of, -1)
        bounds = np.concatenate(([0], np.flatnonzero(np.diff(kinds)) + 1, [len(self)])).tolist()
        for start, stop in pairwise(bounds):
            if kinds[start] < 0 or stop - start < _FEWEST_ROWS:
                yield from map(self.instance, range(start, stop))
            else:
                records = self.data[self.starts[start] : self.starts[stop]].reshape(stop - start, -1)
                yield UniformRun(self.forms[kinds[start]].layout, records, self.targets)

    @cached_property
    def _first_handles(self) -> NDArray[np.int64]:
        """Number of the first handle of each row, and of the one after the last."""
        per_form = np.array([form.layout.n_handles for form in self.forms])
        return np.concatenate(([0], np.cumsum(per_form[self.form_of])))

    @property
    def n_handles(self) -> int:
        """See :attr:`Run.n_handles`."""
        return int(self._first_handles[-1])

    @property
    def n_bytes(self) -> int:
        """See :attr:`Run.n_bytes`."""
        return len(self.data)

    def row_of_handle(self, index: int) -> tuple[int, int]:
        """See :meth:`Run.row_of_handle`."""
        row = int(np.searchsorted(self._first_handles, index, side="right")) - 1
        return row, index - int(self._first_handles[row])

    def take(self, rows: NDArray[np.bool_] | slice) -> MixedRun:
        """See :meth:`Run.take`."""
        sizes = np.diff(self.starts)
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            data = self.data[self.starts[start] : self.starts[max(start, stop)]]
        else:
            data = self.data[np.repeat(rows, sizes)]
        starts = np.concatenate(([0], np.cumsum(sizes[rows])))
        return MixedRun(self.forms, data, starts, self.form_of[rows], self.lengths[rows], self.targets)

    def moved(self, forms: Sequence[Form], targets: Mapping[int, Node]) -> MixedRun:
        """The same records in another stream: its forms and nodes."""
        return MixedRun(forms, self.data, self.starts, self.form_of, self.lengths, targets)

    def holds_bytes_of(self, other: Run) -> bool:
        """See :meth:`Run.holds_bytes_of`."""
        return isinstance(other, MixedRun) and self.data is other.data

    def record(self, row: int) -> bytes:
        """See :meth:`Run.record`."""
        return self.data[self.starts[row] : self.starts[row + 1]].tobytes()

    def first_row_with(self, is_wanted: Callable[[Node], bool], start: int = 0) -> int:
        """See :meth:`Run.first_row_with`."""
        wanted = [handle for handle, node in self.targets.items() if is_wanted(node)]
        first = len(self)
        for part in self.parts if wanted else ():
            rest = part.numbers >= start
            for slot in part.layout.slots + part.layout.class_slots:
                hits = np.isin(part.handles_at(slot), wanted) & rest
                if hits.any():
                    first = min(first, int(part.numbers[hits.argmax()]))
        return first

    def renumbered(self, handles: Mapping[Node, int]) -> memoryview:
        """See :meth:`Run.renumbered`."""
        new = {old: handles.get(node, old) for old, node in self.targets.items()}
        data = self.data
        if any(old != number for old, number in new.items()):
            data = data.copy()
            fields = at_every_byte(data, ">u4")
            for part in self.parts:
                for slot in part.layout.class_slots:
                    fields[part.places(slot.offset)] = new[part.layout.handle_at(slot)]
                for slot in part.layout.slots:
                    old = part.handles_at(slot)
                    known = sorted(first_rows(old))
                    renumbered = np.array([new[handle] for handle in known])
                    fields[part.places(slot.offset)] = renumbered[np.searchsorted(known, old)]
        return np.ascontiguousarray(data).data
