"""Runs that something else in the stream refers to."""

from __future__ import annotations

from her2qp.qupath.java.graph import Item, Node
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
