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
