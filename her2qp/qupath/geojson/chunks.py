"""The JSON values of a large text one after the other, in bounded memory."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from her2qp.errors import GeoJSONError

CHUNK_BYTES = 2**20
MAX_VALUE_CHARS = 2**25
"""A single feature is refused beyond this length: a million vertices take as much."""

MAX_VALUE_PARTS = 2**20
"""A single feature is refused that has more lists and objects in it, each of which takes 60 bytes or more."""

MAX_INFLATION = 200
"""A compressed file is refused when its text is this many times larger; GeoJSON of tiles reaches about 10."""

INFLATION_CHECKED_FROM = 2**26
"""Bytes of text below which the inflation does not matter."""

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_CUT_MARGIN = 32
"""An error so close to the end of the text at hand may come from its being cut off there."""


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[Iterator[str]]:
    """Open a plain or gzip-compressed UTF-8 file as an iterator of pieces of text.

    Raises
    ------
    GeoJSONError
        Also while iterating: the file cannot be read, is damaged, not UTF-8, or inflates absurdly.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start == b"PK\x03\x04":
                raise GeoJSONError("a zip archive", where=path, remedy="Unpack it and give the file in it.")
            yield _decoded(_inflated(file, path) if start[:2] == b"\x1f\x8b" else _pieces(file), path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise GeoJSONError(f"the compressed file is damaged ({error})", where=path) from error
    except OSError as error:
        raise GeoJSONError(f"cannot be read ({error.strerror or error})", where=path) from error


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(CHUNK_BYTES):
        yield piece


def _inflated(file: IO[bytes], path: Path) -> Iterator[bytes]:
    """Uncompressed pieces, counting what comes out against what went in."""
    total = 0
    with gzip.GzipFile(fileobj=file, mode="rb") as text:
        for piece in _pieces(cast("IO[bytes]", text)):
            total += len(piece)
            if total > max(INFLATION_CHECKED_FROM, MAX_INFLATION * file.tell()):
                raise GeoJSONError(
                    f"its text is more than {MAX_INFLATION} times larger than the compressed file",
                    where=path,
                    remedy="Uncompress it yourself if you trust it.",
                )
            yield piece


def _decoded(pieces: Iterator[bytes], path: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        for piece in pieces:
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise GeoJSONError("not UTF-8 text", where=path, remedy="Save it as UTF-8.") from error


class JsonText:
    """A cursor over JSON text that arrives in pieces; only what is being parsed is kept.

    Parameters
    ----------
    pieces
        The text.
    where
        Named in errors.
    """

    def __init__(self, pieces: Iterator[str], where: object) -> None:
        self._pieces = pieces
        self.where = where
        self._text = ""
        self._at = 0
        self._value_at = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that is not white space; empty at the end of the text."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more(0)

    def take(self, expected: str) -> str:
        """Step over the next character, which must be one of `expected`.

        Raises
        ------
        GeoJSONError
            It is another, or the text ends.
        """
        found = self.peek()
        if not found:
            raise self.error("the text ends in the middle")
        if found not in expected:
            raise self.error(f"not JSON: {' or '.join(expected)} expected, not {found!r}")
        self._at += 1
        return found

    def value(self) -> Any:
        """Parse the next value whole.

        Raises
        ------
        GeoJSONError
            It is not JSON, nested too deeply, or longer than `MAX_VALUE_CHARS`.
        """
        self.peek()
        while True:
            self._check_parts()
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos + _CUT_MARGIN >= len(self._text) or error.msg.startswith("Unterminated string")
                if self._ended or not cut:
                    what = "the text ends in the middle" if self._ended and cut else f"not JSON: {error.msg}"
                    raise self.error(what) from error
            except RecursionError:
                raise self.error("nested too deeply") from None
            except ValueError as error:
                raise self.error(f"not JSON: {error}") from error
            else:
                if end < len(self._text) or self._ended:
                    self._value_at, self._at = self._at, end
                    return value
            self._more(len(self._text) - self._at)

    def _check_parts(self) -> None:
        if len(self._text) - self._at > MAX_VALUE_PARTS:
            parts = sum(self._text.count(bracket, self._at) for bracket in "[{")
            if parts > MAX_VALUE_PARTS:
                raise self.error(f"holds more than {MAX_VALUE_PARTS:,} lists and objects")

    @property
    def last_value(self) -> str:
        """Text of the value that was parsed last, as long as nothing else was asked for since."""
        return self._text[self._value_at : self._at]

    def ahead(self, length: int) -> str:
        """Up to so many of the characters that follow and are at hand; fewer do not mean that the text ends."""
        return self._text[self._at : self._at + length]

    def skip(self, length: int) -> None:
        """Step over characters that :meth:`ahead` gave."""
        self._at += length

    def _more(self, wanted: int) -> None:
        """Read on by at least `wanted` characters, so that a long value is tried only a few times."""
        if wanted > MAX_VALUE_CHARS:
            raise self.error(f"longer than {MAX_VALUE_CHARS:,} characters")
        parts, length = [self._text[self._at :]], 0
        while length <= wanted:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                break
            parts.append(piece)
            length += len(piece)
        self._text, self._at = "".join(parts), 0

    def error(self, what: str) -> GeoJSONError:
        """The error to raise about the text at the cursor."""
        return GeoJSONError(what, where=self.where, remedy="Export it again, or check it with a JSON validator.")
