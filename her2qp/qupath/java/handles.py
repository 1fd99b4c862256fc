"""The nodes of a stream by their handles, those included that were not built."""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol

from her2qp.qupath.java.graph import Node
from her2qp.qupath.java.protocol import FIRST_HANDLE


class Unbuilt(Protocol):
    """Nodes that follow each other and are built when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Node: ...

    def settle(self) -> None:
        """Put what was built where it belongs."""


class HandleTable(dict[int, Node]):
    """Nodes of a stream by their handles; those that were skipped are built when they are asked for.

    Parameters
    ----------
    next_handle
        The handle of the next node.
    """

    def __init__(self, next_handle: int = FIRST_HANDLE) -> None:
        super().__init__()
        self.next_handle = next_handle
        self._firsts: list[int] = []
        self._unbuilt: list[Unbuilt] = []

    def add(self, node: Node) -> None:
        """Give the next handle to a node."""
        self[self.next_handle] = node
        self.next_handle += 1

    def skip(self, nodes: Unbuilt) -> None:
        """Give the next handles to nodes that are not built."""
        self._firsts.append(self.next_handle)
        self._unbuilt.append(nodes)
        self.next_handle += len(nodes)

    def __missing__(self, handle: int) -> Node:
        number = bisect_right(self._firsts, handle) - 1
        if number >= 0 and handle < self._firsts[number] + len(self._unbuilt[number]):
            return self._unbuilt[number][handle - self._firsts[number]]
        raise KeyError(handle)

    def settle(self) -> None:
        """Put the nodes that something refers to where they belong."""
        for nodes in self._unbuilt:
            nodes.settle()
