"""Many UUIDs at once: 16 bytes a row to the 36 characters of their text, and back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

TEXT_SIZE = 36

_DASHES = np.array([8, 13, 18, 23])
_DIGITS = np.setdiff1d(np.arange(TEXT_SIZE), _DASHES)
_DASH = ord("-")

_HEX_PAIRS = np.frombuffer(bytes(range(256)).hex().encode("ascii"), dtype=np.uint16)
_NO_DIGIT = 0xFF
_DIGIT_VALUES = np.full(256, _NO_DIGIT, dtype=np.uint8)
for _value, _character in enumerate("0123456789abcdef"):
    _DIGIT_VALUES[[ord(_character), ord(_character.upper())]] = _value


def empty(n: int) -> NDArray[np.uint8]:
    """Room for `n` ids, shape (n, 16), uint8."""
    return np.zeros((n, 16), dtype=np.uint8)


def format_text(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Text of ids in lower case, as ASCII bytes.

    Parameters
    ----------
    ids
        Shape (n, 16), uint8.

    Returns
    -------
    ndarray
        Shape (n, 36), uint8.
    """
    digits = _HEX_PAIRS[ids].view(np.uint8)
    text = np.full((len(ids), TEXT_SIZE), _DASH, dtype=np.uint8)
    start = 0
    for stop in (*(_DASHES - np.arange(4)), 32):
        at = start + int(np.searchsorted(_DASHES - np.arange(4), start, side="right"))
        text[:, at : at + stop - start] = digits[:, start:stop]
        start = int(stop)
    return text


def parse(text: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Ids of texts of 36 characters.

    Parameters
    ----------
    text
        ASCII bytes, shape (n, 36), uint8.

    Returns
    -------
    ids, is_valid
        Shape (n, 16), uint8; shape (n,), bool: whether the text is a UUID (else its id means nothing).
    """
    values = _DIGIT_VALUES[text[:, _DIGITS]]
    is_valid = (text[:, _DASHES] == _DASH).all(axis=1) & (values != _NO_DIGIT).all(axis=1)
    return np.bitwise_or(np.left_shift(values[:, 0::2], 4), values[:, 1::2] & 0x0F, dtype=np.uint8), is_valid


def as_bytes(ids: NDArray[np.uint8]) -> list[bytes]:
    """Each id as 16 bytes."""
    listed: list[bytes] = np.ascontiguousarray(ids).view("V16").ravel().tolist()
    return listed


def repeated(ids: NDArray[np.uint8]) -> bool:
    """Whether an id, shape (n, 16), comes more than once."""
    # Sorting numbers is many times faster than a set; random ids hardly ever agree in their first half.
    keys = np.sort(_first_halves(ids))
    return bool((keys[1:] == keys[:-1]).any()) and len(set(as_bytes(ids))) < len(ids)


def rows_among(ids: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of some ids are among others.

    Parameters
    ----------
    ids, wanted
        Shapes (n, 16) and (m, 16), uint8.

    Returns
    -------
    ndarray
        Shape (n,), bool.
    """
    found = np.isin(_first_halves(ids), _first_halves(wanted))
    rows = np.flatnonzero(found)
    if len(rows):
        known = set(as_bytes(wanted))
        found[rows] = [one in known for one in as_bytes(ids[rows])]
    return found


def from_bytes(ids: Iterable[bytes]) -> NDArray[np.uint8]:
    """Ids of 16 bytes each as rows, shape (n, 16), uint8."""
    return np.frombuffer(b"".join(ids), dtype=np.uint8).reshape(-1, 16)


def _first_halves(ids: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(ids).view(np.uint64)[:, 0]
