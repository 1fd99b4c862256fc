"""Runs that were seen before, and what their records referred to then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.java.graph import ClassDesc, ClassObject, Node
from her2qp.qupath.java.runs import Run
from her2qp.qupath.java.writer import write_stream

_NO_HANDLE = 1 << 31
"""No handle of a real stream is as high."""

_BYTES_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class KnownRun:
    """A run as it was when it was read.

    Parameters
    ----------
    run
        The run.
    meanings
        What each handle stood for, see :func:`meaning_of`.
    """

    run: Run
    meanings: Mapping[int, bytes]

    @classmethod
    def of(cls, run: Run) -> KnownRun:
        """Take note of a run."""
        return cls(run, {handle: meaning_of(node) for handle, node in run.targets.items()})

    @property
    def is_unchanged(self) -> bool:
        """Whether everything that the records refer to is still what it was."""
        return all(meaning_of(node) == self.meanings[handle] for handle, node in self.run.targets.items())

    def is_same(self, rows: slice, other: KnownRun, other_rows: slice) -> bool:
        """Whether some rows are byte for byte those of another run, but for the handles by which they refer."""
        if self.run.holds_bytes_of(other.run) and rows == other_rows and self.meanings == other.meanings:
            return True
        mine = self._renumbered(rows, self._numbers)
        return np.array_equal(mine, other._renumbered(other_rows, self._numbers))

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        """A handle for each meaning."""
        return {meaning: handle for handle, meaning in sorted(self.meanings.items(), reverse=True)}

    def _renumbered(self, rows: slice, numbers: Mapping[bytes, int]) -> NDArray[np.uint8]:
        handles = {node: numbers.get(self.meanings[old], _NO_HANDLE) for old, node in self.run.targets.items()}
        return np.frombuffer(self.run.take(rows).renumbered(handles), dtype=np.uint8)

    def find(self, data: NDArray[np.uint8], start: int, look_up: Callable[[int], Node]) -> dict[int, Node] | None:
        """What the records refer to in another stream that has the same bytes at some place, referring to the same.

        Parameters
        ----------
        data
            The other stream.
        start
            The place.
        look_up
            Gives the node of a handle there; KeyError if there is none.

        Returns
        -------
        dict or None
            Handle to node; None if the records are not there.
        """
        mine = np.frombuffer(self.run.renumbered({}), dtype=np.uint8)
        theirs = data[start : start + len(mine)]
        pieces = (slice(i, i + _BYTES_AT_ONCE) for i in range(0, len(mine), _BYTES_AT_ONCE))
        if len(theirs) < len(mine) or not all(np.array_equal(mine[piece], theirs[piece]) for piece in pieces):
            return None
        try:
            targets = {handle: look_up(handle) for handle in self.meanings}
        except KeyError:
            return None
        return targets if all(meaning_of(targets[h]) == meaning for h, meaning in self.meanings.items()) else None


def meaning_of(node: Node) -> bytes:
    """The bytes that Java would write for a node alone; a class is no object and marked as none."""
    return b"class" + write_stream([ClassObject(node)]) if isinstance(node, ClassDesc) else write_stream([node])
