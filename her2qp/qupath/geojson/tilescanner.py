"""Runs of tiles that are written alike, taken from a text as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from her2qp.errors import GeoJSONError
from her2qp.qupath.geojson.chunks import JsonText
from her2qp.qupath.geojson.tilepattern import TilePattern, learn
from her2qp.qupath.objects import PathObject, TileTable

_MAX_PATTERNS = 8
_GAP_CHARS = 1024
_SLACK = 1.25
"""How much longer than the pattern's own feature others may be on average to be all at hand."""


class TileScanner:
    """Learns how tiles are written and takes those that follow without parsing each.

    Twice as many are tried after a success and an eighth after a failure, so that what is cut in vain stays small
    beside what is taken.

    Parameters
    ----------
    admit
        Is given tiles as they stand in the file and returns them with the parents that they get; None where they have
        to be looked at one by one.
    """

    def __init__(self, admit: Callable[[TileTable], TileTable | None]) -> None:
        self._admit = admit
        self._patterns: list[TilePattern] = []
        self._limit = 1

    def tables(self, text: JsonText) -> Iterator[TileTable]:
        """Take the tiles at the cursor, up to one that is written otherwise or the last of an array."""
        while (table := self._next(text)) is not None:
            yield table

    def _next(self, text: JsonText) -> TileTable | None:
        text.peek()
        for pattern in self._patterns:
            try:
                table, length = pattern.read(text.ahead(int(self._limit * pattern.length * _SLACK)), self._limit)
            except GeoJSONError:
                continue
            admitted = self._admit(table)
            if admitted is None:
                break
            text.skip(length)
            self._patterns.sort(key=lambda other: other is not pattern)
            self._limit *= 2
            return admitted
        self._limit = max(1, self._limit // 8)
        return None

    def learn(self, text: JsonText, tile: PathObject) -> None:
        """Learn from a tile that was parsed just now."""
        if len(self._patterns) < _MAX_PATTERNS:
            pattern = learn(text.last_value, text.ahead(_GAP_CHARS), tile)
            if pattern is not None and all(pattern.constant != other.constant for other in self._patterns):
                self._patterns.append(pattern)
