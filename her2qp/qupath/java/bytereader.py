"""Take bytes, numbers and names from a stream, one after the other; a length is believed only if so many are left."""

from __future__ import annotations

import struct

from her2qp.errors import DataFileError, UnsupportedDataError
from her2qp.qupath.java import mutf8

_SHORT = struct.Struct(">H")
_LENGTH = struct.Struct(">i")


class ByteReader:
    """A place in a stream.

    Parameters
    ----------
    data
        The bytes.
    position
        Where to begin.
    where
        What to call the data in errors.
    """

    def __init__(self, data: bytes, position: int = 0, where: object = None) -> None:
        self.data = data
        self.position = position
        self._where = where

    def error(self, what: str, *, at: int | None = None, unsupported: bool = False) -> DataFileError:
        """An error that names the place."""
        kind = UnsupportedDataError if unsupported else DataFileError
        return kind(f"{what} (at byte {self.position if at is None else at})", where=self._where)

    def early_end(self, size: int = 1) -> DataFileError:
        """The error for data that lack `size` bytes."""
        left = max(0, len(self.data) - self.position)
        return self.error(f"ends early: {size} more bytes expected, {left} left", at=min(self.position, len(self.data)))

    def next(self) -> int:
        """Take one byte."""
        position = self.position
        if position >= len(self.data):
            raise self.early_end()
        self.position = position + 1
        return self.data[position]

    def take(self, size: int) -> bytes:
        """Take some bytes."""
        end = self.position + size
        if end > len(self.data):
            raise self.early_end(size)
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """Take numbers."""
        try:
            values = layout.unpack_from(self.data, self.position)
        except struct.error:
            raise self.early_end(layout.size) from None
        self.position += layout.size
        return values

    def length(self) -> int:
        """Take a length, which is not negative."""
        length = self.unpack(_LENGTH)[0]
        if length < 0:
            raise self.error("is damaged: a negative length", at=self.position - _LENGTH.size)
        return length

    def name(self) -> str:
        """Take a name that comes after its length."""
        raw = self.take(self.unpack(_SHORT)[0])
        try:
            return mutf8.decode(raw)
        except UnicodeDecodeError:
            raise self.error("is damaged: a name is not modified UTF-8", at=self.position - len(raw)) from None
