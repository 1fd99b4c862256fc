"""A cohort as it was joined, with an account of everything left out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from her2qp.cohort.table import Cohort


class Why(StrEnum):
    """Why an image is not in a cohort."""

    NO_LABEL = "no label"
    UNREADABLE_LABEL = "label not understood"
    NOT_ASKED_FOR = "not asked for"
    NOT_HE = "not H&E"
    DAMAGED = "damaged"
    REPEATED = "the same slide again"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that is not in the cohort, and why, in a word and in a sentence."""

    project: Path
    image: str
    why: Why
    reason: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A cohort, and what is not in it.

    Parameters
    ----------
    cohort
        What could be joined.
    left_out
        Images that are not in it.
    unmatched
        Slides or patients of the table of labels that no image was found for.
    notes
        What the user should know all the same.
    """

    cohort: Cohort
    left_out: tuple[LeftOut, ...]
    unmatched: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 if an image was left out because its label or its data could not be read, else 0."""
        return int(any(out.why in (Why.UNREADABLE_LABEL, Why.DAMAGED) for out in self.left_out))

    def to_json(self) -> dict[str, Any]:
        """Return the ``cohort --json`` document."""
        cohort = self.cohort
        labels = [row.label for row in cohort.rows]
        return {
            "slides": len(cohort),
            "patients": len(set(cohort.patients)),
            "sites": None if cohort.sites is None else len(set(cohort.sites)),
            "label_column": cohort.label_column,
            "counts": {name: labels.count(name) for name in cohort.classes},
            "left_out": [
                {"project": str(o.project), "image": o.image, "why": str(o.why), "reason": o.reason}
                for o in self.left_out
            ],
            "labels_without_image": list(self.unmatched),
            "notes": list(self.notes),
        }
