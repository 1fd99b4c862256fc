"""Predictions of several models for the same slides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from her2qp.errors import EvaluationError
from her2qp.evaluation.predictions import Predictions


def aligned(one: Predictions, other: Predictions) -> Predictions:
    """Return `other` in the order of the slides of `one`.

    Raises
    ------
    EvaluationError
        The slides, their labels or patients, or the classes are not the same.
    """
    if one.classes != other.classes:
        raise EvaluationError(f"the classes of {one.name} are {one.classes}, those of {other.name} {other.classes}")
    row_of = {slide: row for row, slide in enumerate(other.slides)}
    missing = [slide for slide in one.slides if slide not in row_of]
    if missing or len(one) != len(other):
        raise EvaluationError(
            f"{one.name} and {other.name} are not about the same slides"
            + (f": {missing[0]} is missing in {other.name}" if missing else ""),
            remedy="Compare models on the same test slides.",
        )
    other = other.take(np.array([row_of[slide] for slide in one.slides]))
    differing = np.flatnonzero((one.labels != other.labels) | (one.patients != other.patients))
    if len(differing):
        raise EvaluationError(
            f"{one.name} and {other.name} give it different labels or patients", where=one.slides[differing[0]]
        )
    return other


def mean_of(members: Sequence[Predictions], name: str) -> Predictions:
    """Return the mean of the probabilities of several models for the same slides.

    Parameters
    ----------
    members
        At least one, such as the models of five folds on one held-out set.
    name
        Of the mean.

    Raises
    ------
    EvaluationError
        There is no member, or they are not about the same slides.
    """
    if not members:
        raise EvaluationError("there are no predictions to take the mean of", where=name)
    first = members[0]
    probabilities = np.mean([aligned(first, member).probabilities for member in members], axis=0)
    return replace(first, probabilities=probabilities, name=name)
