"""Cases with a known class, and what a model says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2qp.errors import EvaluationError
from her2qp.tabular import Column

_SUM_TOLERANCE = 0.02
"""Probabilities rounded to two or three decimals are taken, and made to sum to 1."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Cases:
    """Slides of patients whose class is known.

    Parameters
    ----------
    labels
        Index of the class of each slide, shape (n,), int64.
    classes
        Names of the classes; from low to high where they have an order.
    patients, slides
        Names, shape (n,). No slide occurs twice; a patient may have several slides.
    sites
        Site of each slide, shape (n,); None if unknown.
    covariates
        What else is known of each slide (receptors, grade, tumour area): by name, shape (n,), text or float64. Empty
        text and NaN mean unknown.

    Raises
    ------
    EvaluationError
        There is no slide, the arrays do not fit together, a label is no class, or a slide occurs twice.
    """

    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    patients: NDArray[np.str_]
    slides: NDArray[np.str_]
    sites: NDArray[np.str_] | None = None
    covariates: Mapping[str, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels, np.int64)
        if labels.ndim != 1 or not len(labels):
            raise EvaluationError("there is no case to judge")
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise EvaluationError(f"{self.classes} are not two or more different classes")
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise EvaluationError(f"a label is not one of 0 to {len(self.classes) - 1}")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "classes", tuple(self.classes))
        for name in ("patients", "slides", "sites"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, self._fitting(np.asarray(values, np.str_), name))
        covariates = {name: self._fitting(np.asarray(values), name) for name, values in self.covariates.items()}
        object.__setattr__(self, "covariates", covariates)
        names, counts = np.unique(self.slides, return_counts=True)
        if counts.max() > 1:
            raise EvaluationError("the slide occurs twice", where=names[counts.argmax()])

    def _fitting(self, values: NDArray[np.generic], name: str) -> NDArray[np.generic]:
        if values.shape != (len(self),):
            raise EvaluationError(f"{name} has shape {values.shape}, not ({len(self)},)")
        return values

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Slides of each class, shape (c,)."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def one_hot(self) -> NDArray[np.float64]:
        """1 in the column of each slide's class, shape (n, c)."""
        return np.eye(len(self.classes))[self.labels]

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Self:
        """Return the given slides only."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        taken: dict[str, Any] = {name: value[rows] for name, value in values.items() if isinstance(value, np.ndarray)}
        taken["covariates"] = {name: value[rows] for name, value in self.covariates.items()}
        return replace(self, **taken)

    def by_patient(self) -> Self:
        """Return one case a patient, in order of first appearance; site and covariates are those of the first slide.

        Raises
        ------
        EvaluationError
            Slides of a patient differ in their label.
        """
        _, first, row = np.unique(self.patients, return_index=True, return_inverse=True)
        differing = np.flatnonzero(self.labels != self.labels[first][row])
        if len(differing):
            raise EvaluationError(
                "the patient's slides have different labels",
                where=self.patients[differing[0]],
                remedy="Judge slide by slide, or give the patient one label.",
            )
        first = np.sort(first)
        return replace(self.take(first), slides=self.patients[first])

    def relabelled(self, labels: NDArray[np.int64], classes: tuple[str, ...]) -> Cases:
        """Return the same slides with other labels, for another question; predictions are left behind."""
        return Cases(
            labels=labels,
            classes=classes,
            patients=self.patients,
            slides=self.slides,
            sites=self.sites,
            covariates=self.covariates,
        )

    def judged(self, probabilities: ArrayLike, name: str) -> Predictions:
        """Return what somebody called `name` says of these cases.

        Parameters
        ----------
        probabilities
            Shape (n, c).
        name
            Of the model or baseline.
        """
        return Predictions(
            labels=self.labels,
            classes=self.classes,
            patients=self.patients,
            slides=self.slides,
            sites=self.sites,
            covariates=self.covariates,
            probabilities=np.asarray(probabilities, np.float64),
            name=name,
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Predictions(Cases):
    """Class probabilities of cases whose class is known.

    Parameters
    ----------
    probabilities
        Shape (n, c), float64; rows sum to 1.
    name
        Of the model.

    Raises
    ------
    EvaluationError
        As for :class:`Cases`; or a probability is not a number from 0 to 1, or a row does not sum to 1.
    """

    probabilities: NDArray[np.float64]
    name: str = "model"

    def __post_init__(self) -> None:
        Cases.__post_init__(self)
        probabilities = np.asarray(self.probabilities, np.float64)
        wanted = (len(self), len(self.classes))
        if probabilities.shape != wanted:
            raise EvaluationError(f"the probabilities have shape {probabilities.shape}, not {wanted}", where=self.name)
        total = probabilities.sum(axis=1)
        # NaN fails every comparison, and so counts as wrong.
        right = ((probabilities >= 0) & (probabilities <= 1)).all(axis=1) & (np.abs(total - 1) <= _SUM_TOLERANCE)
        if not right.all():
            row = int(np.flatnonzero(~right)[0])
            raise EvaluationError(
                f"the probabilities of slide {self.slides[row]} are {probabilities[row].tolist()}, "
                "not numbers from 0 to 1 that sum to 1",
                where=self.name,
                remedy="Give the model's probabilities (after the softmax), not its logits.",
            )
        # Only what was rounded is scaled: scaling all would make equal probabilities differ in the last bit.
        total[np.abs(total - 1) < 1e-6] = 1
        object.__setattr__(self, "probabilities", probabilities / total[:, None])

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the most probable class, shape (n,); the lower one where two are equal."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    def by_patient(self) -> Self:
        """Return one case a patient, with the mean of the probabilities of its slides.

        Raises
        ------
        EvaluationError
            Slides of a patient differ in their label.
        """
        merged = Cases.by_patient(self)
        row = np.argmax(self.patients[:, None] == merged.patients, axis=1)
        total = np.zeros_like(merged.probabilities)
        np.add.at(total, row, self.probabilities)
        return replace(merged, probabilities=total / np.bincount(row)[:, None])
