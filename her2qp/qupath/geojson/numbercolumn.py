"""Numbers that stand at the same place in many pieces of JSON text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from her2qp.errors import GeoJSONError

_NUMBER_BYTES = b"0123456789+-.eE"
_NUMBER = re.compile(rb"[0-9+\-.eE]+")


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """What is alike in pieces of text that differ in nothing but numbers.

    Parameters
    ----------
    at
        Which piece of a row it is.
    before, between, after
        Text before the first number, between one and the next, and after the last.
    """

    at: int
    before: bytes
    between: tuple[bytes, ...]
    after: bytes

    @classmethod
    def like(cls, piece: str, at: int, count: int) -> NumberColumn:
        """A column of pieces like `piece`.

        Raises
        ------
        GeoJSONError
            It does not have `count` numbers.
        """
        text = piece.encode()
        numbers = list(_NUMBER.finditer(text))
        if len(numbers) != count:
            raise GeoJSONError(f"{len(numbers)} numbers where {count} are expected")
        between = tuple(text[a.end() : b.start()] for a, b in pairwise(numbers))
        return cls(at, text[: numbers[0].start()], between, text[numbers[-1].end() :])

    def read(self, pieces: Sequence[str]) -> NDArray[np.float64]:
        """The numbers of many pieces, shape (len(pieces), numbers of a piece).

        Raises
        ------
        GeoJSONError
            A piece differs in something else, or a number is not one of JSON or beyond what a float can hold.
        """
        text, frame = "".join(pieces).encode(), b"".join((self.before, *self.between, self.after))
        if text.translate(None, _NUMBER_BYTES) != frame * len(pieces) or not text.startswith(self.before):
            raise GeoJSONError("something else than a number differs")
        text = text[len(self.before) : len(text) - len(self.after)]
        # a number in the middle of a separator, or none where one should be, leaves what is not a list of numbers
        for separator in sorted({*self.between, self.after + self.before}, key=len, reverse=True):
            text = text.replace(separator, b",")
        try:
            numbers = np.array(from_json(b"[%b]" % text), np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            raise GeoJSONError("not a list of numbers") from error
        if numbers.shape != (len(pieces) * (len(self.between) + 1),):
            raise GeoJSONError("more or fewer numbers than pieces")
        return numbers.reshape(len(pieces), -1)
