"""JSON files as QuPath writes them: read within bounds, rewritten byte for byte where nothing changed.

QuPath writes through Gson: two spaces of indentation, no line break at the end, and ``<>&='`` as escapes. Numbers
with a fraction keep the digits they were read with, because Java and Python print some of them differently.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from her2qp.errors import ProjectFormatError

MAX_JSON_BYTES = 512 * 2**20
"""Larger files are refused unread: a project of 100,000 images is smaller."""

_MAX_DEPTH = 100
"""A builder within a builder takes two levels; nobody nests more than a few."""

_ESCAPED_BY_GSON = re.compile("[<>&='\u2028\u2029\ud800-\udfff]")


class _Literal(float):
    """A number that remembers how it was written."""

    text: str

    def __new__(cls, text: str) -> _Literal:
        number = super().__new__(cls, text)
        number.text = text
        return number


def read_bounded(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """Bytes of a file that is not absurdly large.

    Raises
    ------
    ProjectFormatError
        The file is larger than `max_bytes`.
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        # as much as there is, for Python sets memory aside for all that is asked for
        data = file.read(min(os.fstat(file.fileno()).st_size, max_bytes) + 1)
    if len(data) > max_bytes:
        raise ProjectFormatError(f"larger than {max_bytes / 2**20:.0f} MB; QuPath writes no such file", where=path)
    return data


def parse_json(data: bytes, *, where: object) -> Any:
    """Parse UTF-8 JSON so that :func:`to_gson` can give the same text back, but for a byte order mark.

    Raises
    ------
    ProjectFormatError
        It is not JSON, not UTF-8, or nested more deeply than any file of QuPath.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_float=_Literal, parse_constant=_Literal)
    except RecursionError:
        raise _too_deep(where) from None
    except UnicodeDecodeError as error:
        raise ProjectFormatError(f"not UTF-8 text (byte {error.start})", where=where) from None
    except ValueError as error:
        raise ProjectFormatError(f"not JSON ({error})", where=where) from None
    _check_depth(value, where)
    return value


def _check_depth(value: Any, where: object) -> None:
    """Refuse what the parser can still follow, but not the recursive code that works on it later."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise _too_deep(where)


def _too_deep(where: object) -> ProjectFormatError:
    return ProjectFormatError("nested too deeply for a file of QuPath", where=where)


def to_gson(value: Any) -> bytes:
    """Serialise in the style of QuPath's project files."""
    parts: list[str] = []
    _write(value, "\n", parts)
    return "".join(parts).encode("utf-8")


def _write(value: Any, line: str, parts: list[str]) -> None:
    """Append the text of `value`; `line` is a line break and the indentation of the container."""
    if isinstance(value, dict) and value:
        for i, (key, item) in enumerate(value.items()):
            parts.append(f"{',' if i else '{'}{line}  {_quote(key)}: ")
            _write(item, line + "  ", parts)
        parts.append(line + "}")
    elif isinstance(value, (list, tuple)) and value:
        for i, item in enumerate(value):
            parts.append(f"{',' if i else '['}{line}  ")
            _write(item, line + "  ", parts)
        parts.append(line + "]")
    elif isinstance(value, str):
        parts.append(_quote(value))
    elif isinstance(value, _Literal):
        parts.append(value.text)
    else:
        parts.append(json.dumps(value))


def _quote(text: str) -> str:
    return _ESCAPED_BY_GSON.sub(lambda hit: f"\\u{ord(hit[0]):04x}", json.dumps(text, ensure_ascii=False))
