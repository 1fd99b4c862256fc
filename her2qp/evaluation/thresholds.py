"""Where a model is asked a yes-no question: false positives and false negatives over thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from her2qp.evaluation.intervals import wilson
from her2qp.evaluation.predictions import Predictions

GRID = np.round(np.arange(0.05, 1, 0.05), 2)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """Ordered classes cut in two: everything from one class on is positive.

    Parameters
    ----------
    name
        ``0 | ≥1+``, ``≤1+ | ≥2+``, ``<3+ | 3+`` for the four grades.
    scores
        Summed probability of the positive classes, shape (n,).
    positive
        Which cases are positive, shape (n,).
    """

    name: str
    scores: NDArray[np.float64]
    positive: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ErrorRates:
    """False positive and false negative rate of a cut at thresholds, with 95 % Wilson intervals.

    Parameters
    ----------
    thresholds
        A case is called positive if its score is at least this, shape (t,).
    fpr, fnr
        Share of the negative cases called positive, and of the positive ones called negative, shape (t,); NaN where
        there is no such case.
    fpr_ends, fnr_ends
        Low and high end of each, shape (2, t).
    """

    thresholds: NDArray[np.float64]
    fpr: NDArray[np.float64]
    fnr: NDArray[np.float64]
    fpr_ends: NDArray[np.float64]
    fnr_ends: NDArray[np.float64]


def cuts(predictions: Predictions) -> list[Cut]:
    """Return every cut between neighbouring classes, from low to high; the classes must have an order."""
    classes, last = predictions.classes, len(predictions.classes) - 1
    found = []
    for k in range(1, len(classes)):
        if last == 1:
            low, high = classes
        else:
            low = classes[0] if k == 1 else f"<{classes[k]}" if k == last else f"≤{classes[k - 1]}"
            high = classes[k] if k == last else f"≥{classes[k]}"
        scores = predictions.probabilities[:, k:].sum(axis=1)
        found.append(Cut(f"{low} | {high}", scores, predictions.labels >= k))
    return found


def error_rates(cut: Cut, thresholds: NDArray[np.float64] = GRID) -> ErrorRates:
    """Count the errors of a cut at each threshold."""
    negatives, positives = np.sort(cut.scores[~cut.positive]), np.sort(cut.scores[cut.positive])
    false_positives = len(negatives) - np.searchsorted(negatives, thresholds, side="left")
    false_negatives = np.searchsorted(positives, thresholds, side="left")
    return ErrorRates(
        np.asarray(thresholds),
        false_positives / len(negatives) if len(negatives) else np.full(len(thresholds), np.nan),
        false_negatives / len(positives) if len(positives) else np.full(len(thresholds), np.nan),
        np.stack(wilson(false_positives, len(negatives))),
        np.stack(wilson(false_negatives, len(positives))),
    )


def balanced_threshold(cut: Cut) -> float:
    """Threshold at which the greater of the two error rates is smallest; the lowest of several.

    Choose it on validation cases: on the cases it is judged by, it looks better than it is.
    """
    candidates = np.unique(cut.scores)
    rates = error_rates(cut, candidates)
    return float(candidates[np.fmax(rates.fpr, rates.fnr).argmin()])
