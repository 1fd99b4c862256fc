"""The nodes of a stream by their handles, those included that were not built."""

from __future__ import annotations

from bisect import bisect_right

from her2qp.qupath.java.graph import Item, Node
from her2qp.qupath.java.protocol import FIRST_HANDLE
from her2qp.qupath.java.runs import Run


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
        return self.run.n_handles

    def __getitem__(self, index: int) -> Node:
        if index >= len(self):
            raise IndexError(index)
        row, position = self.run.row_of_handle(index)
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
