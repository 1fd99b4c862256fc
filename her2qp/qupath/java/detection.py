"""Detect runs of alike records while a stream is read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from her2qp.errors import DataFileError
from her2qp.qupath.java.collecting import MAX_RECORD, KnownForms
from her2qp.qupath.java.forms import Form
from her2qp.qupath.java.graph import ClassDesc, Item, Node
from her2qp.qupath.java.handles import HandleTable
from her2qp.qupath.java.knownruns import KnownRun
from her2qp.qupath.java.mixedruns import MixedRun
from her2qp.qupath.java.protocol import TC_OBJECT, TC_REFERENCE
from her2qp.qupath.java.runs import Layout, Run, read_record
from her2qp.qupath.java.skippedrun import SkippedRun
from her2qp.qupath.java.tracing import trace_layout
from her2qp.qupath.java.uniformruns import UniformRun, find_alike

MIN_ROWS = 8
"""Fewer records of one length after the first are not taken as a run."""

_HEADS_AHEAD = 32
"""Records that differ in length are read one by one where fewer can follow, as with annotations: that is faster."""

_MAX_TARGETS = 1 << 10
"""Records that refer to more objects than these are not alike."""

_OBJECT_OF_KNOWN_CLASS = bytes((TC_OBJECT, TC_REFERENCE))
_HEAD = 6
"""Bytes of the beginning of an object of a known class, the handle of the class included."""

_MAX_FAILED = 8
"""How often the records after an object may turn out to be no run before no more is tried with that class."""


class RunFinder:
    """Takes runs out of a stream.

    Parameters
    ----------
    data
        The stream.
    handles
        Its handles.
    known
        Runs that it is likely to have: they are recognized by their bytes instead of being measured.
    """

    def __init__(self, data: bytes, handles: HandleTable, known: Iterable[KnownRun] = ()) -> None:
        self._known = {one.run.record(0): one for one in known if isinstance(one.run, MixedRun)}
        self._known_sizes = {len(record) for record in self._known}
        self._data = data
        self._handles = handles
        self._bytes = np.frombuffer(data, dtype=np.uint8)
        self._forms: dict[bytes, KnownForms] = {}
        self._layouts: dict[bytes, Layout] = {}

    def __call__(self, content: list[Item], start: int, end: int) -> int:
        """Take the records that follow one and are alike, or as long as they please but of known forms.

        Parameters
        ----------
        content
            The annotation; a run is appended to it.
        start, end
            Where the last object of `content` begins and ends in the stream.

        Returns
        -------
        int
            Number of bytes taken; 0 if there is no run.
        """
        size = end - start
        head = self._data[start : start + _HEAD]
        if not self._data.startswith(head, end) or size > MAX_RECORD or not head.startswith(_OBJECT_OF_KNOWN_CLASS):
            return 0
        targets: dict[int, Node] = {}
        run = (
            self._known_run(end)
            or self._uniform_run(head, start, end, targets)
            or self._mixed_run(head, start, end, targets)
        )
        if run is None or (isinstance(run, MixedRun) and run.is_uniform and not self._has_heads_every(size, head, end)):
            return 0  # after one record more, those of one length are taken for a uniform run
        content.append(run)
        self._handles.skip(SkippedRun(run, content))
        return run.n_bytes

    def _known_run(self, start: int) -> MixedRun | None:
        """A run that was known before and begins at a place."""
        for size in self._known_sizes:
            known = self._known.get(self._data[start : start + size])
            targets = None if known is None else known.find(self._bytes, start, self._handles.__getitem__)
            if known is not None and targets is not None and isinstance(known.run, MixedRun):
                used = {part.form: self._form(part.layout.record) for part in known.run.parts}
                if None not in used.values():
                    forms = [used.get(form) or form for form in known.run.forms]
                    return known.run.moved(forms, targets)
        return None

    def _uniform_run(self, head: bytes, start: int, end: int, targets: dict[int, Node]) -> UniformRun | None:
        """Take the records after an object that have its length, or that of the last run of its class."""
        layout = self._layouts.get(head)
        if self._has_heads_every(end - start, head, end):
            layout = self._layout(head, self._data[start:end])
        elif layout is None or not self._has_heads_every(len(layout.record), head, end):
            return None
        if layout is None:
            return None
        size = len(layout.record)
        n_rows = (len(self._data) - end) // size
        records = self._bytes[end : end + n_rows * size].reshape(n_rows, size)
        n_rows, constants = find_alike(layout, records)
        if n_rows < MIN_ROWS:
            return None
        run = UniformRun(layout, records[:n_rows], targets, constants)
        n_rows = self._resolve(run, targets)
        return run.take(slice(n_rows)) if n_rows >= MIN_ROWS else None

    def _has_heads_every(self, size: int, head: bytes, place: int) -> bool:
        """Whether enough records of one length can begin at a place."""
        return all(self._data.startswith(head, place + row * size) for row in range(MIN_ROWS))

    def _mixed_run(self, head: bytes, start: int, end: int, targets: dict[int, Node]) -> MixedRun | None:
        """Take the records of known forms after an object, whose form becomes known too."""
        known = self._forms.get(head) or self._forms.setdefault(head, KnownForms(head))
        known.n_read += 1
        if known.n_read < MIN_ROWS or known.n_failed > _MAX_FAILED:
            return None
        if not self._has_heads(head, end):
            known.n_failed += 1
            return None
        if known.lacks(self._bytes, start):
            form = self._form(self._data[start:end])
            known.forms += [] if form is None else [form]
        run = known.collect(self._bytes, end, targets)
        n_rows = self._resolve(run, targets) if len(run) >= MIN_ROWS else 0
        known.n_failed = 0 if n_rows >= MIN_ROWS else known.n_failed + 1
        return run.take(slice(n_rows)) if n_rows >= MIN_ROWS else None

    def _has_heads(self, head: bytes, place: int) -> bool:
        """Whether enough records can begin at a place and after it, each within reach of the one before."""
        for _ in range(_HEADS_AHEAD):
            place = self._data.find(head, place, place + MAX_RECORD) + 1
            if not place:
                return False
        return True

    def _form(self, record: bytes) -> Form | None:
        layout = self._trace(record)
        return None if layout is None else Form.of(layout)

    def _layout(self, head: bytes, record: bytes) -> Layout | None:
        """Layout of a record that has been read: that of the last run of its class, if it has the same structure."""
        last = self._layouts.get(head)
        if last is not None and len(last.record) == len(record):
            differs = np.frombuffer(last.record, dtype=np.uint8) ^ np.frombuffer(record, dtype=np.uint8)
            if not (differs & last.structure).any():
                return last
        layout = self._trace(record)
        if layout is not None:
            self._layouts[head] = layout
        return layout

    def _trace(self, record: bytes) -> Layout | None:
        """Layout of a record that has been read."""
        shared: dict[int, Node] = {}

        def look_up(handle: int) -> Node:
            shared[handle] = self._handles[handle]
            return shared[handle]

        try:
            template, _ = read_record(record, look_up)
        except DataFileError:  # it refers to itself by a handle that has another meaning when it is read alone
            return None
        layout = trace_layout(template, shared)
        return None if layout is None or layout.record != record else layout

    def _resolve(self, run: Run, targets: dict[int, Node]) -> int:
        """Look up what the records refer to; returns the number of rows whose references make sense."""
        n_rows = len(run)
        for part in run.parts:
            targets.update((part.layout.handle_at(slot), slot.target) for slot in part.layout.class_slots)
            for slot in part.layout.slots:
                for handle, row in part.first_rows(slot).items():
                    if row >= n_rows:
                        break
                    if handle not in targets and not self._add_target(handle, targets):
                        n_rows = row
        return n_rows

    def _add_target(self, handle: int, targets: dict[int, Node]) -> bool:
        try:
            node = self._handles[handle] if len(targets) < _MAX_TARGETS else None
        except KeyError:
            node = None
        if node is None or isinstance(node, ClassDesc):
            return False
        targets[handle] = node
        return True
