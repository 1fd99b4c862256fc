"""The nodes of a stream by their handles, those included that were not built."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from her2qp.qupath.java.graph import Item, Node
from her2qp.qupath.java.protocol import FIRST_HANDLE

if TYPE_CHECKING:
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


class HandleTable(dict[int, Node]):
    """Nodes of a stream by their handles; those of runs are built when they are asked for.

    Parameters
    ----------
    next_handle
        The handle of the next node.
    """

    def __init__(self, next_handle: int = FIRST_HANDLE) -> None:
        super().__init__()
        self.next_handle = next_handle
        self._firsts: list[int] = []
        self._runs: list[SkippedRun] = []

    def add(self, node: Node) -> None:
        """Give the next handle to a node."""
        self[self.next_handle] = node
        self.next_handle += 1

    def skip(self, run: Run, content: list[Item]) -> None:
        """Give the next handles to the nodes of a run that is part of `content`."""
        self._firsts.append(self.next_handle)
        self._runs.append(SkippedRun(run, content))
        self.next_handle += run.n_handles

    def __missing__(self, handle: int) -> Node:
        number = bisect_right(self._firsts, handle) - 1
        if number >= 0 and handle < self._firsts[number] + len(self._runs[number]):
            return self._runs[number][handle - self._firsts[number]]
        raise KeyError(handle)

    def settle(self) -> None:
        """Put the objects of runs that something refers to in the place of their records."""
        for run in self._runs:
            run.settle()
