"""Attributes of HDF5 files that may be damaged, read so that the HDF5 library neither hangs nor takes much memory.

Texts that h5py writes by default are of variable length: they stand in a heap somewhere in the file, and the library
follows a damaged heap for ever. Our own attributes are of fixed length instead, and stand where they belong. Those of
other programs are read after a look at the heaps.
"""

from __future__ import annotations

import math
import mmap
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5t

_MOST_VALUES = 16
_MOST_BYTES = 4096
_HEAP = re.compile(rb"GCOL\x01.{3}(.{8})", re.DOTALL)
"""Where a global heap begins, and its size."""
_HEAP_HEADER = _OBJECT_HEADER = 16


def write_text(node: h5py.Group, name: str, text: str) -> None:
    """Keep a text of fixed length, for :func:`read_text`."""
    node.attrs[name] = np.bytes_(text.encode())


def read_text(node: h5py.Group, name: str) -> str:
    """Read a text of fixed length; nothing else is read.

    Raises
    ------
    KeyError
        There is no such attribute.
    ValueError
        It is no such text.
    """
    kind, shape = _kind(node, name)
    if shape != () or not isinstance(kind, h5t.TypeStringID) or kind.is_variable_str() or kind.get_size() > _MOST_BYTES:
        raise ValueError(f"the attribute `{name}` is not stored as it should be")
    return str(node.attrs[name].decode())


def read_attributes(node: h5py.Group | h5py.Dataset, *names: str) -> dict[str, Any]:
    """Those of these attributes that there are: texts as str, all else as h5py gives it; what is large is left out."""
    found = {}
    for name in names:
        if name in node.attrs:
            kind, shape = _kind(node, name)
            if math.prod(shape) <= _MOST_VALUES and kind.get_size() <= _MOST_BYTES:
                value = node.attrs[name]
                found[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found


def require_sound_heaps(path: Path) -> None:
    """Refuse a file in whose heaps the HDF5 library would go round for ever.

    It goes from object to object by their sizes, and a free space that claims to be of no size keeps it in place.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It has such a heap, or it is empty.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for heap in _HEAP.finditer(data):
            place = heap.start() + _HEAP_HEADER
            end = min(heap.start() + int.from_bytes(heap[1], "little"), len(data))
            while place + _OBJECT_HEADER <= end:
                used = int.from_bytes(data[place : place + 2], "little") > 0
                size = int.from_bytes(data[place + 8 : place + 16], "little")
                if not used and not size:
                    raise ValueError("a heap of it is damaged")
                place += _OBJECT_HEADER + (size + 7) // 8 * 8 if used else size


def _kind(node: h5py.Group | h5py.Dataset, name: str) -> tuple[h5t.TypeID, tuple[int, ...]]:
    """Type and shape of an attribute, which is not read for it."""
    attribute = h5a.open(node.id, name.encode())
    return attribute.get_type(), attribute.shape
