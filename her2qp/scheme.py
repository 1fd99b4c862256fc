"""The sets of classes that HER2 results are put into: what labels are mapped to, and what a model tells apart."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Scheme(StrEnum):
    """A set of classes, from low to high, each with the treatment group that it means.

    ASCO/CAP 2018; HER2-low is 1+, or 2+ without amplification, hence ISH decides a 2+.
    """

    GRADES = "grades"
    LOW = "low"
    STATUS = "status"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, from low to high."""
        return tuple(self.groups)

    @property
    def groups(self) -> dict[str, str]:
        """Treatment group of each class."""
        match self:
            case Scheme.GRADES:
                return {"0": "0", "1+": "low", "2+": "equivocal: ISH", "3+": "positive"}
            case Scheme.LOW:
                return {"0": "0", "low": "low", "positive": "positive"}
            case Scheme.STATUS:
                return {"negative": "negative", "positive": "positive"}

    def by_class(self, probabilities: Iterable[float]) -> dict[str, float]:
        """Probabilities, one a class from low to high, by the name of the class."""
        return dict(zip(self.classes, map(float, probabilities), strict=True))

    def most_probable(self, probabilities: Iterable[float]) -> str:
        """The class with the highest of the probabilities; of two alike the lower class."""
        named = self.by_class(probabilities)
        return max(named, key=named.__getitem__)

    @classmethod
    def of(cls, classes: Iterable[str]) -> Scheme | None:
        """The scheme that has just these classes, in this order; None if there is none."""
        names = tuple(classes)
        return next((scheme for scheme in cls if scheme.classes == names), None)

    @classmethod
    def described(cls) -> str:
        """All of them in words: ``0, 1+, 2+, 3+; 0, low, positive; negative, positive``."""
        return "; ".join(", ".join(scheme.classes) for scheme in cls)
