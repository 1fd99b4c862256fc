"""Classes that were read before: the files of a project describe the same ones, most of them in the same bytes."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from her2qp.qupath.java.graph import ClassDesc, JavaString
from her2qp.qupath.java.handles import HandleTable

Described: TypeAlias = ClassDesc | JavaString
"""What has a handle within a descriptor: a class, or the name of a field's type."""

_HANDLE_SIZE = 4

MAX_CLASSES = 512
"""More are forgotten, all at once: a file of QuPath has some dozens."""

_MAX_VARIANTS, _MAX_BYTES = 4, 1 << 10


@dataclass(frozen=True, slots=True, eq=False)
class KnownChain:
    """A class as it was described in a stream, together with those of its superclasses that were new there too.

    Parameters
    ----------
    pieces
        The bytes up to each back reference, and what it refers to; None behind the last one.
    nodes, classes
        What got a handle, in order, the class first; the classes among these.
    """

    pieces: tuple[tuple[bytes, Described | None], ...]
    nodes: tuple[Described, ...]
    classes: tuple[ClassDesc, ...]

    def end_in(self, data: bytes, position: int, handles: HandleTable) -> int | None:
        """Where it ends in a stream; None if it does not begin at a place or refers to something else there."""
        first, n_own = handles.next_handle, len(self.nodes)
        for fixed, referred in self.pieces:
            if not data.startswith(fixed, position):
                return None
            position += len(fixed)
            if referred is not None:
                handle = int.from_bytes(data[position : position + _HANDLE_SIZE], "big")
                own = handle - first
                if (self.nodes[own] if 0 <= own < n_own else handles.get(handle)) is not referred:
                    return None
                position += _HANDLE_SIZE
        return position if position <= len(data) else None


class KnownClasses:
    """The classes of earlier streams, shared by later ones: nothing changes a class once it is read.

    They are many times cheaper to recognize than to read. How many are kept is limited, and how large they may be.
    """

    def __init__(self) -> None:
        self._chains: dict[bytes, tuple[KnownChain, ...]] = {}
        self._classes: set[ClassDesc] = set()

    def __len__(self) -> int:
        return len(self._classes)

    def find(
        self, data: bytes, position: int, handles: HandleTable, present: Container[ClassDesc]
    ) -> tuple[KnownChain | None, int]:
        """The known chain at a place, None if there is none, and where it ends.

        Parameters
        ----------
        data, position
            The stream, and where a descriptor begins in it.
        handles
            Those of the stream so far.
        present
            Its classes so far: one that is described twice is two.
        """
        for chain in self._chains.get(_name_at(data, position), ()):
            end = chain.end_in(data, position, handles)
            if end is not None and chain.classes[0] not in present:
                return chain, end
        return None, position

    def learn(
        self,
        data: bytes,
        start: int,
        end: int,
        references: Sequence[tuple[int, Described]],
        nodes: Sequence[Described],
    ) -> None:
        """Take note of a chain that was read, unless it is very large.

        Parameters
        ----------
        data, start, end
            The stream, and where the chain begins and ends in it.
        references
            Where the handles of its back references are, and what these stand for.
        nodes
            See :class:`KnownChain`.
        """
        if end - start > _MAX_BYTES or not all(node in nodes or self._may_keep(node) for _, node in references):
            return
        if len(self) >= MAX_CLASSES:
            self._chains, self._classes = {}, set()
        pieces: list[tuple[bytes, Described | None]] = []
        name, position = _name_at(data, start), start
        for place, node in references:
            pieces.append((data[position:place], node))
            position = place + _HANDLE_SIZE
        pieces.append((data[position:end], None))
        classes = tuple(node for node in nodes if isinstance(node, ClassDesc))
        self._classes.update(classes)
        others = self._chains.get(name, ())[: _MAX_VARIANTS - 1]
        self._chains[name] = (KnownChain(tuple(pieces), tuple(nodes), classes), *others)

    def _may_keep(self, node: Described) -> bool:
        return node in self._classes if isinstance(node, ClassDesc) else len(node.raw) <= _MAX_BYTES


def _name_at(data: bytes, position: int) -> bytes:
    """Tag, length and name of the descriptor that begins at a place."""
    return data[position : position + 3 + int.from_bytes(data[position + 1 : position + 3], "big")]
