"""Detect runs of alike records while a stream is read, and keep track of the handles that they take."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from her2qp.errors import DataFileError
from her2qp.qupath.java.graph import ClassDesc, Item, Node
from her2qp.qupath.java.protocol import FIRST_HANDLE
from her2qp.qupath.java.runs import Layout, Records, Run, read_record
from her2qp.qupath.java.tracing import trace_layout

MIN_ROWS = 8
"""Fewer records after the first two are not taken as a run."""

MAX_RECORD = 1 << 16
"""Longest record in bytes that is tried."""

_ROWS_AT_ONCE = 1 << 12


class SkippedRun:
    """The nodes of a run that was not built. One that is asked for is built, and its record leaves the run.

    Parameters
    ----------
    run
        The run.
    content
        The annotation that it is in.
    """

    def __init__(self, run: Run, content: list[Item]) -> None:
        self.run = run
        self.content = content
        self._built: dict[int, list[Node]] = {}
        self._instances: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self.run) * self.run.layout.n_handles

    def __getitem__(self, index: int) -> Node:
        row, position = divmod(index, self.run.layout.n_handles)
        if row not in self._built:
            self._instances[row], self._built[row] = self.run.nodes(row)
        return self._built[row][position]

    def settle(self) -> None:
        """Put the built objects in the place of their records."""
        if not self._instances:
            return
        pieces: list[Item] = []
        start = 0
        for row in [*sorted(self._instances), len(self.run)]:
            if row > start:
                pieces.append(self.run.take(slice(start, row)))
            if row in self._instances:
                pieces.append(self._instances[row])
            start = row + 1
        place = self.content.index(self.run)
        self.content[place : place + 1] = pieces


class HandleTable:
    """Nodes of a stream by their handles."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._first = FIRST_HANDLE
        self._firsts = [FIRST_HANDLE]
        self._stretches: list[list[Node] | SkippedRun] = [self._nodes]

    def add(self, node: Node) -> None:
        """Give the next handle to a node."""
        self._nodes.append(node)

    def skip(self, run: Run, content: list[Item]) -> None:
        """Give the next handles to the nodes of a run that is part of `content`."""
        skipped = SkippedRun(run, content)
        self._nodes = []
        self._firsts.append(self._firsts[-1] + len(self._stretches[-1]))
        self._stretches.append(skipped)
        self._firsts.append(self._firsts[-1] + len(skipped))
        self._stretches.append(self._nodes)

    def __getitem__(self, handle: int) -> Node:
        stretch = bisect_right(self._firsts, handle) - 1
        if stretch < 0:
            raise KeyError(handle)
        try:
            return self._stretches[stretch][handle - self._firsts[stretch]]
        except IndexError:
            raise KeyError(handle) from None

    def settle(self) -> None:
        """Put the objects of runs that something refers to in the place of their records."""
        for stretch in self._stretches:
            if isinstance(stretch, SkippedRun):
                stretch.settle()


class RunFinder:
    """Takes runs out of a stream.

    Parameters
    ----------
    data
        The stream.
    handles
        Its handles.
    """

    def __init__(self, data: bytes, handles: HandleTable) -> None:
        self._data = data
        self._handles = handles
        self._bytes = np.frombuffer(data, dtype=np.uint8)

    def __call__(self, content: list[Item], start: int, size: int) -> int:
        """Take the records that follow one and are alike.

        Parameters
        ----------
        content
            The annotation; a run is appended to it.
        start, size
            Where the last object of `content` begins in the stream, and its length, in bytes.

        Returns
        -------
        int
            Number of bytes taken; 0 if there is no run.
        """
        data, end = self._data, start + size
        n_rows = (len(data) - end) // size
        if size > MAX_RECORD or n_rows < MIN_ROWS or data[start : start + 6] != data[end : end + 6]:
            return 0
        traced = self._trace(data[start:end])
        if traced is None:
            return 0
        layout, targets = traced
        records = self._bytes[end : end + n_rows * size].reshape(n_rows, size)
        records = records[: _count_alike(layout, records)]
        records = records[: self._resolve(layout, records, targets)]
        if len(records) < MIN_ROWS:
            return 0
        run = Run(layout, records, targets)
        content.append(run)
        self._handles.skip(run, content)
        return int(records.size)

    def _trace(self, record: bytes) -> tuple[Layout, dict[int, Node]] | None:
        """Layout of a record that has been read, and the nodes that it refers to."""
        targets: dict[int, Node] = {}

        def look_up(handle: int) -> Node:
            targets[handle] = self._handles[handle]
            return targets[handle]

        try:
            template, _ = read_record(record, look_up)
        except DataFileError:  # it refers to itself by a handle that has another meaning when it is read alone
            return None
        layout = trace_layout(template, targets)
        return None if layout is None or layout.record != record else (layout, targets)

    def _resolve(self, layout: Layout, records: Records, targets: dict[int, Node]) -> int:
        """Look up what the records refer to; returns the number of rows whose references make sense."""
        n_rows = len(records)
        run = Run(layout, records, targets)
        for slot in layout.slots:
            column = run.handles_at(slot)
            distinct = column[:1] if (column == column[:1]).all() else np.unique(column)
            for handle in distinct.tolist():
                try:
                    node = self._handles[handle]
                except KeyError:
                    node = None
                if node is None or isinstance(node, ClassDesc):
                    n_rows = min(n_rows, int((column == handle).argmax()))
                else:
                    targets[handle] = node
        return n_rows


def _count_alike(layout: Layout, records: Records) -> int:
    """Number of leading records with the structure of the layout."""
    template = np.frombuffer(layout.record, dtype=np.uint8) & layout.structure
    step = 16
    start = 0
    while start < len(records):
        rows = records[start : start + step]
        differs = (rows & layout.structure) != template
        if differs.any():
            return start + int(differs.any(axis=1).argmax())
        start += len(rows)
        step = min(step * 4, _ROWS_AT_ONCE)
    return len(records)
