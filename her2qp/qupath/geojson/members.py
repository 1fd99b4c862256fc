"""Members of JSON objects in a text that was cut at its quotation marks.

Pieces 0, 2, 4, … are strings, because the first mark opens one and none is escaped; what is between two strings stands
in pieces 1, 3, 5, ….
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from her2qp.errors import GeoJSONError

_COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
_DIGIT = re.compile(r"[0-9]")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class MemberSpan:
    """Where a member's value stands.

    Parameters
    ----------
    first, last
        The pieces in which it begins and ends.
    before, after
        What else is in the first piece before it, and in the last after it.
    """

    first: int
    last: int
    before: str
    after: str

    def text(self, pieces: Sequence[str]) -> str:
        """The value's text in pieces that may differ from those in which it was found.

        Raises
        ------
        GeoJSONError
            They differ also before or after it.
        """
        text = '"'.join(pieces[self.first : self.last + 1])
        if not (text.startswith(self.before) and text.endswith(self.after)):
            raise GeoJSONError("something else is written beside the value")
        return text[len(self.before) : len(text) - len(self.after)]


def member(pieces: Sequence[str], name: str) -> MemberSpan | None:
    """The value of a member of valid JSON, whichever object it belongs to; None if there is none.

    Raises
    ------
    GeoJSONError
        There are several.
    """
    found = [at for at in range(0, len(pieces) - 1, 2) if pieces[at] == name and _COLON.match(pieces[at + 1])]
    if len(found) != 1:
        if found:
            raise GeoJSONError(f"more than one {name!r}")
        return None
    first = found[0] + 1
    text = '"'.join(pieces[first:])
    begin = len(_leading_colon(text))
    _, end = _DECODER.raw_decode(text, begin)
    last = first + text.count('"', 0, end)
    return MemberSpan(first, last, text[:begin], pieces[last][end - text.rfind('"', 0, end) - 1 :])


def _leading_colon(text: str) -> str:
    match = _COLON.match(text)
    return match[0] if match else ""


def leaves(pieces: Sequence[str], span: MemberSpan) -> list[int]:
    """The pieces of a value that hold strings, but for names of members, or numbers."""
    strings = [at for at in range(span.first + 1, span.last, 2) if not _COLON.match(pieces[at + 1])]
    return sorted([*strings, *number_pieces(pieces, span)])


def number_pieces(pieces: Sequence[str], span: MemberSpan) -> list[int]:
    """The pieces of a value that hold numbers."""
    return [at for at in range(span.first, span.last + 1, 2) if _DIGIT.search(pieces[at])]


def decoded(text: str) -> Any:
    """The value of a JSON text.

    Raises
    ------
    GeoJSONError
        It is none.
    """
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise GeoJSONError(f"not JSON: {error}") from error
