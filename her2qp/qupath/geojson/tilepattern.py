"""Tiles that are written alike, read by the hundred.

A program writes the tiles of an image one like the other: the same members in the same order, and nothing differs but
ids, parents, classes, coordinates and measured values. A feature's text cut at its quotation marks is a list of pieces,
every other one a string; from one feature that was parsed in full we learn which pieces may differ. The features after
it are cut in the same way, all other pieces compared at once, and those that may differ taken as columns. Where
anything else differs, nothing is read, and the caller parses the next feature in full.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import GeoJSONError
from her2qp.qupath.classes import PathClass
from her2qp.qupath.geojson.members import MemberSpan, decoded, leaves, member, number_pieces
from her2qp.qupath.geojson.numbercolumn import NumberColumn
from her2qp.qupath.geojson.properties import decode_class
from her2qp.qupath.objects import PathObject, TileTable
from her2qp.qupath.tiletables import numbered

_GAP = re.compile(r'[ \t\r\n]*,[ \t\r\n]*(\{[ \t\r\n]*)"')
"""Between a feature and the next, to the first quotation mark of the next."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UUID_LINES = re.compile(rf"(?:{_UUID.pattern}\n)*")

_EXACT = 2.0**53
"""Whole numbers from here on are not all told apart as floats."""

_Columns = Mapping[int, Sequence[str]]


@dataclass(frozen=True, slots=True)
class TilePattern:
    """How the tiles of a file are written.

    Parameters
    ----------
    head
        Text of a feature before its first quotation mark.
    pieces
        Pieces after it, to the first quotation mark of the next feature.
    tile
        What the feature says from which the pattern was learned.
    id_at, parent_at
        Which pieces are its id and its parent's; `parent_at` is None where no tile has one.
    path_class, class_at
        The classification, None if there is none, and which of its pieces may differ.
    corners
        The piece with the coordinates.
    values
        The pieces with the measured values, in the order of the tile's measurements.
    """

    head: str
    pieces: tuple[str, ...]
    tile: PathObject
    id_at: int
    parent_at: int | None
    path_class: MemberSpan | None
    class_at: tuple[int, ...]
    corners: NumberColumn
    values: tuple[NumberColumn, ...]

    @property
    def variable(self) -> list[int]:
        """Which pieces may differ."""
        parent = [] if self.parent_at is None else [self.parent_at]
        return [self.id_at, *parent, *self.class_at, self.corners.at, *(column.at for column in self.values)]

    @property
    def constant(self) -> str:
        """The pieces that do not vary, each after its quotation mark; two patterns with the same are the same."""
        variable = set(self.variable)
        return "".join(f'"{piece}' for at, piece in enumerate(self.pieces) if at not in variable)

    @property
    def length(self) -> int:
        """Characters from the beginning of one feature to that of the next."""
        return sum(map(len, self.pieces)) + len(self.pieces)

    def read(self, text: str, limit: int) -> tuple[TileTable, int]:
        """Read up to `limit` tiles that are written alike from the beginning of a text.

        Returns
        -------
        TileTable
            The tiles; neither ids nor parents are compared with others.
        int
            Length of their text, with the comma and the space after the last.

        Raises
        ------
        GeoJSONError
            One of them is not like the pattern; there may be others before it that are.
        """
        encoded, width = text.encode(), len(self.pieces)
        raw = np.frombuffer(encoded, np.uint8)
        marks = np.flatnonzero(raw == ord('"'))
        rows = min(limit, (len(marks) - 1) // width)
        if rows < 1 or not text.startswith(self.head + '"'):
            raise GeoJSONError("no whole feature that begins like the pattern")
        marks = marks[: rows * width + 1]
        is_variable = np.zeros(width, np.bool_)
        is_variable[self.variable] = True
        varies = np.repeat(np.tile(is_variable, rows), np.diff(marks))
        raw = raw[marks[0] : marks[-1]]
        if raw[~varies].tobytes() != self.constant.encode() * rows:
            raise GeoJSONError("a feature is written otherwise")
        pieces = raw[varies].tobytes().decode().split('"')[1:]
        columns = {at: pieces[number :: len(self.variable)] for number, at in enumerate(sorted(self.variable))}
        return self._table(columns, rows), len(encoded[: marks[-1]].decode()) - len(self.head)

    def _table(self, columns: _Columns, rows: int) -> TileTable:
        ids = "\n".join([*columns[self.id_at], ""])
        if not _UUID_LINES.fullmatch(ids):
            raise GeoJSONError("an id is not a UUID")
        classes, class_index = self._classes(columns, rows)
        parents, parent_index = self._parents(columns, rows)
        values = np.empty((rows, len(self.values)), np.float32)
        with np.errstate(over="ignore"):
            for number, column in enumerate(self.values):
                values[:, number] = column.read(columns[column.at])[:, 0]
        return TileTable(
            ids=np.frombuffer(bytes.fromhex(ids.replace("-", "")), np.uint8).reshape(-1, 16),
            bounds=_bounds(self.corners.read(columns[self.corners.at])),
            classes=classes,
            class_index=class_index,
            names=tuple(self.tile.measurements),
            values=values,
            parent_ids=parents,
            parent_index=parent_index,
        )

    def _parents(self, columns: _Columns, rows: int) -> tuple[tuple[UUID | None, ...], NDArray[np.int32]]:
        if self.parent_at is None:
            return (self.tile.parent,), np.zeros(rows, np.int32)
        texts, text_index = numbered(columns[self.parent_at])
        if not all(map(_UUID.fullmatch, texts)):
            raise GeoJSONError("a parent's id is not a UUID")
        parents, parent_of_text = numbered(list(map(UUID, texts)))
        return parents, parent_of_text[text_index]

    def _classes(self, columns: _Columns, rows: int) -> tuple[tuple[PathClass, ...], NDArray[np.int32]]:
        texts, text_index = numbered(list(zip(*(columns[at] for at in self.class_at), strict=True)) or [()] * rows)
        found, class_of_text = numbered([None, *map(self._class, texts)])
        return tuple(path_class for path_class in found if path_class), class_of_text[1:][text_index] - 1

    def _class(self, texts: Sequence[str]) -> PathClass | None:
        """The class of the tiles that have these texts where classifications differ."""
        if self.path_class is None:
            return None
        if "\\" in "".join(texts):
            raise GeoJSONError("an escaped character, which may be a quotation mark")
        changed = dict(zip(self.class_at, texts, strict=True))
        pieces = [changed.get(at, piece) for at, piece in enumerate(self.pieces)]
        return decode_class(decoded(self.path_class.text(pieces)), None)


def learn(feature: str, following: str, tile: PathObject) -> TilePattern | None:
    """The pattern of a feature, None if it is written so that others could not be told to be like it.

    Parameters
    ----------
    feature
        Its text.
    following
        The text after it, as far as it is at hand.
    tile
        What was read of it: a tile of which a row of a table says all.
    """
    gap = _GAP.match(following)
    if gap is None or "\\" in feature:
        return None
    head, *pieces = (feature + gap[0][:-1]).split('"')
    try:
        pattern = _pattern(head, tuple(pieces), tile)
        pattern.read(feature + gap[0], 1)
    except GeoJSONError:
        return None
    return pattern if head == gap[1] else None


def _pattern(head: str, pieces: tuple[str, ...], tile: PathObject) -> TilePattern:
    own_id, coordinates = member(pieces, "id"), member(pieces, "coordinates")
    parent, path_class, measurements = (member(pieces, name) for name in ("parentId", "classification", "measurements"))
    values = [] if measurements is None else number_pieces(pieces, measurements)
    if own_id is None or coordinates is None or len(values) != len(tile.measurements):
        raise GeoJSONError("a member is missing or written more than once")
    pattern = TilePattern(
        head,
        pieces,
        tile,
        id_at=own_id.first + 1,
        parent_at=None if parent is None or tile.parent is None else parent.first + 1,
        path_class=path_class,
        class_at=() if path_class is None else tuple(leaves(pieces, path_class)),
        corners=NumberColumn.like(pieces[coordinates.first], coordinates.first, 10),
        values=tuple(NumberColumn.like(pieces[at], at, 1) for at in values),
    )
    if len(set(pattern.variable)) != len(pattern.variable):
        raise GeoJSONError("two things that may differ stand in one piece")
    return pattern


def _bounds(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bounds, shape (n, 4), of rings of five corners, shape (n, 10), that all go around plain rectangles."""
    x, y = corners[:, 0::2], corners[:, 1::2]
    clockwise = (x[:, 1] == x[:, 2]) & (x[:, 3] == x[:, 0]) & (y[:, 1] == y[:, 0]) & (y[:, 3] == y[:, 2])
    counterclockwise = (x[:, 1] == x[:, 0]) & (x[:, 3] == x[:, 2]) & (y[:, 1] == y[:, 2]) & (y[:, 3] == y[:, 0])
    closed = (x[:, 4] == x[:, 0]) & (y[:, 4] == y[:, 0])
    extended = (x[:, 2] != x[:, 0]) & (y[:, 2] != y[:, 0]) & (np.abs(corners) < _EXACT).all(axis=1)
    if not ((clockwise | counterclockwise) & closed & extended).all():
        raise GeoJSONError("not a rectangle")
    return np.column_stack((x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)))
