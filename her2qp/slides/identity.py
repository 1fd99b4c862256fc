"""Telling a slide file from every other without reading it whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

_HASHED_BYTES = 1 << 16


def slide_identity(path: Path) -> str:
    """Return what identifies a slide file: its size, time, first and last 64 KiB, as 64 hex digits.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    status = path.stat()
    with path.open("rb") as file:
        head = file.read(_HASHED_BYTES)
        file.seek(max(0, status.st_size - _HASHED_BYTES))
        ends = hashlib.sha256(head + file.read(_HASHED_BYTES)).hexdigest()
    return hashlib.sha256(repr((status.st_size, status.st_mtime_ns, ends)).encode()).hexdigest()
