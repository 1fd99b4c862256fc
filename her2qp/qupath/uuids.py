"""Many UUIDs at once: 16 bytes a row to the 36 characters of their text, and back."""

from __future__ import annotations

import binascii
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

TEXT_SIZE = 36

_DASHES = (8, 13, 18, 23)
_DASH = ord("-")

_NAMES, _SIZES, _PLACES = list("abcde"), ["V8", "V4", "V4", "V4", "V12"], [0, 9, 14, 19, 24]
_DIGITS = np.dtype({"names": _NAMES, "formats": _SIZES})
_TEXT = np.dtype({"names": _NAMES, "formats": _SIZES, "offsets": _PLACES, "itemsize": TEXT_SIZE})
"""The groups of digits one after the other, and with the dashes between them."""

_IS_DIGIT = np.array([byte in b"0123456789abcdefABCDEF" for byte in range(256)])


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
    text = np.full((len(ids), TEXT_SIZE), _DASH, dtype=np.uint8)
    text.view(_TEXT)[:, 0] = np.frombuffer(binascii.hexlify(np.ascontiguousarray(ids).data), dtype=_DIGITS)
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
    digits: NDArray[np.uint8] = text.view(_TEXT).astype(_DIGITS).view(np.uint8)
    is_valid: NDArray[np.bool_] = (text[:, _DASHES] == _DASH).all(axis=1)
    try:
        ids = binascii.unhexlify(digits.data)
    except binascii.Error:
        is_number: NDArray[np.bool_] = np.all(_IS_DIGIT[digits], axis=1, keepdims=True)
        ids = binascii.unhexlify(np.where(is_number, digits, np.uint8(ord("0"))).data)
        is_valid &= is_number[:, 0]
    return np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16), is_valid


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
