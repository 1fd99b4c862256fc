"""Path classes: QuPath's classifications, their names and colours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from her2qp.errors import InvalidEditError


def pack_rgb(red: int, green: int, blue: int) -> int:
    """Pack a colour the way QuPath stores it: a signed 32-bit ARGB integer, opaque.

    Examples
    --------
    >>> pack_rgb(200, 0, 0)
    -3670016
    """
    return -16777216 | red << 16 | green << 8 | blue


def unpack_rgb(color: int) -> tuple[int, int, int]:
    """Red, green and blue (0 to 255) of a packed ARGB integer."""
    return color >> 16 & 255, color >> 8 & 255, color & 255


@dataclass(frozen=True, slots=True)
class PathClass:
    """A classification: a base name and the names derived from it, with a colour.

    Parameters
    ----------
    names
        The parts, base first: ``("Tumor", "Positive")`` is what QuPath shows as ``Tumor: Positive``.
    color
        Packed signed ARGB integer, or None. The colour does not take part in comparisons: in QuPath the names alone
        identify a class.
    """

    names: tuple[str, ...]
    color: int | None = field(default=None, compare=False)

    @classmethod
    def from_string(cls, text: str, color: int | None = None) -> PathClass:
        """Parse ``Tumor: Positive``; parts are split on the colon and stripped, as QuPath does."""
        return cls(tuple(part.strip() for part in text.split(":")), color)

    def __str__(self) -> str:
        return ": ".join(self.names)

    @property
    def is_ignored(self) -> bool:
        """Whether QuPath treats the class as ignored: its name ends in an asterisk."""
        return self.names[-1].endswith("*")

    def is_derived_from(self, ancestor: PathClass) -> bool:
        """Whether this is `ancestor` itself or a class derived from it."""
        return self.names[: len(ancestor.names)] == ancestor.names

    def check(self) -> PathClass:
        """Return this class if QuPath could read it back, else raise.

        Raises
        ------
        InvalidEditError
            A part is blank, has a colon or line break, or begins or ends with a space: such a class makes QuPath fail
            to load the whole image.
        """
        for part in self.names:
            if not part.strip() or part != part.strip() or any(c in part for c in ":\n\r"):
                raise InvalidEditError(
                    "a class name must not be blank, have a colon or line break, or begin or end with a space",
                    where=f"class {str(self)!r}",
                )
        return self


def matches_any(path_class: PathClass | None, wanted: Iterable[PathClass | None]) -> bool:
    """Whether a class is one of `wanted` or derived from one; None stands for unclassified on both sides."""
    return any(
        path_class is None if ancestor is None else path_class is not None and path_class.is_derived_from(ancestor)
        for ancestor in wanted
    )


STANDARD_COLORS = {
    ("Tumor",): pack_rgb(200, 0, 0),
    ("Stroma",): pack_rgb(150, 200, 150),
    ("Immune cells",): pack_rgb(160, 90, 160),
    ("Ignore*",): pack_rgb(180, 180, 180),
    ("Image",): pack_rgb(128, 128, 128),
    ("Necrosis",): pack_rgb(50, 50, 50),
    ("Other",): pack_rgb(255, 200, 0),
    ("Region*",): pack_rgb(0, 0, 180),
    ("Positive",): pack_rgb(250, 62, 62),
    ("Negative",): pack_rgb(112, 112, 225),
    ("1+",): pack_rgb(255, 255, 0),
    ("2+",): pack_rgb(255, 187, 62),
    ("3+",): pack_rgb(250, 62, 62),
    ("Tumor", "Positive"): pack_rgb(200, 50, 50),
    ("Tumor", "Negative"): pack_rgb(90, 90, 180),
    ("Tumor", "1+"): pack_rgb(255, 215, 0),
    ("Tumor", "2+"): pack_rgb(225, 150, 50),
    ("Tumor", "3+"): pack_rgb(200, 50, 50),
}
"""Colours that QuPath gives to the classes it knows."""

_DERIVED_SCALES = {"Positive": 0.75, "Negative": 1.25, "1+": 0.9, "2+": 0.6, "3+": 0.4}
"""Brightness of an intensity class relative to what it is derived from."""


def default_color(names: tuple[str, ...]) -> int:
    """Packed colour that QuPath gives to a class when none is set.

    Parameters
    ----------
    names
        The parts of the class, base first.

    Notes
    -----
    A class that QuPath does not know gets a colour drawn from ``java.util.Random``, seeded with the hash of its
    names, so that it looks the same everywhere.
    """
    if names in STANDARD_COLORS:
        return STANDARD_COLORS[names]
    if len(names) > 1 and names[-1] in _DERIVED_SCALES:
        scale = _DERIVED_SCALES[names[-1]]
        red, green, blue = (min(255, int(c * scale)) for c in unpack_rgb(default_color(names[:-1])))
        return pack_rgb(red, green, blue)
    state = (_java_hash("\n".join(names)) ^ 0x5DEECE66D) & _STATE_MASK
    while True:
        channels = []
        for _ in range(3):
            state = (state * 0x5DEECE66D + 0xB) & _STATE_MASK
            channels.append(state >> 40)
        if max(channels) >= 40:
            return pack_rgb(*channels)


_STATE_MASK = (1 << 48) - 1


def _java_hash(text: str) -> int:
    """``String.hashCode``: over UTF-16 units, signed 32 bits."""
    units = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for i in range(0, len(units), 2):
        value = (31 * value + (units[i] << 8 | units[i + 1])) & 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value
