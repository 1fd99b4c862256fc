"""Damage to the bytes of a file: what a bad disk does, and what somebody does who wants the reader to fall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
"""What is put where a length may stand."""

_LONGEST_PIECE = 400


def mutate(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change a file in one place, or in two or three.

    Parameters
    ----------
    random
        Decides on everything.
    data
        The file.
    others
        Files that pieces are taken from.
    """
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice(_CHANGES)(random, changed, others)
    return bytes(changed)


def _piece(random: Random, size: int) -> slice:
    start = random.randint(0, size)
    return slice(start, min(size, start + random.randint(1, _LONGEST_PIECE)))


def _flip(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    for _ in range(random.randint(1, 8)) if data else ():
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _delete(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[_piece(random, len(data))]


def _duplicate(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    piece = _piece(random, len(data))
    data[piece.stop : piece.stop] = data[piece] * random.choice((1, 1, 2, 20))


def _splice(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    donor = random.choice(others)
    place = _piece(random, len(data))
    data[place.start : random.choice((place.start, place.stop))] = donor[_piece(random, len(donor))]


def _set_length(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    size = random.choice((1, 2, 4, 8))
    number = random.choice((*EXTREMES, len(data), len(data) - 1)) % (1 << 8 * size)
    start = random.randint(0, max(0, len(data) - size))
    data[start : start + size] = number.to_bytes(size, random.choice(("big", "big", "little")))


def _truncate(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[random.randint(0, len(data)) :]


_CHANGES: tuple[Callable[[Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip,
    _flip,
    _delete,
    _duplicate,
    _splice,
    _splice,
    _set_length,
    _set_length,
    _truncate,
)
