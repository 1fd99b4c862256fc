"""Read an annotation front to back, as the Java code that wrote it."""

from __future__ import annotations

import struct

from her2qp.errors import DataFileError
from her2qp.qupath.java import Item, Run, Value

_DATA = (bytes, Run)


class Cursor:
    """A place in an annotation.

    Parameters
    ----------
    content
        The annotation.
    index
        The item to begin with.
    """

    def __init__(self, content: list[Item], index: int = 0) -> None:
        self.content = content
        self.index = index
        self.offset = 0

    @property
    def at_object(self) -> bool:
        """Whether an object comes next."""
        return self.index < len(self.content) and not isinstance(self.content[self.index], bytes)

    def object(self) -> Value:
        """Take the object that comes next."""
        try:
            item = self.content[self.index]
        except IndexError:
            raise DataFileError("an object has less content than it should") from None
        if isinstance(item, _DATA):
            raise DataFileError("an object has data where another object should be")
        self.index += 1
        return item

    def primitive(self, layout: str) -> tuple[int, int]:
        """Pass over a primitive; returns its place: item and offset (see :func:`get_primitive`)."""
        index, offset = self.index, self.offset
        block = self.content[index] if index < len(self.content) else None
        end = offset + struct.calcsize(layout)
        if not isinstance(block, bytes) or len(block) < end:
            raise DataFileError("an object has no number where one should be")
        self.index, self.offset = (index + 1, 0) if end == len(block) else (index, end)
        return index, offset


def get_primitive(content: list[Item], place: tuple[int, int], layout: str) -> int | float | bool:
    """Value of a primitive in an annotation."""
    block = content[place[0]]
    if not isinstance(block, bytes):
        raise DataFileError("an object has no number where one should be")
    value: int | float | bool = struct.unpack_from(layout, block, place[1])[0]
    return value


def set_primitive(content: list[Item], place: tuple[int, int], layout: str, value: int | float | bool) -> None:
    """Change the value of a primitive in an annotation."""
    block = content[place[0]]
    if not isinstance(block, bytes):
        raise DataFileError("an object has no number where one should be")
    packed = struct.pack(layout, value)
    content[place[0]] = block[: place[1]] + packed + block[place[1] + len(packed) :]
