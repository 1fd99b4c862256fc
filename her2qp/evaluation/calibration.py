"""Whether probabilities can be taken at their word: what was observed where so much was predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from her2qp.evaluation.intervals import wilson
from her2qp.evaluation.metrics import equal_mass_bins

BINS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Observed against predicted in bins of equally many cases, each array of shape (bins,).

    Parameters
    ----------
    predicted
        Mean probability of the cases of a bin, ascending.
    observed
        Share of them that are of the class.
    low, high
        95 % Wilson interval of that share.
    cases
        How many there are.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    cases: NDArray[np.int64]


def reliability(scores: NDArray[np.float64], positive: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Compare probabilities with how often they came true.

    Parameters
    ----------
    scores
        Probability of the class, shape (n,).
    positive
        Which cases are of it, shape (n,).
    bins
        At most so many; equal probabilities share a bin.
    """
    number = np.unique(equal_mass_bins(scores, bins), return_inverse=True)[1]
    cases = np.bincount(number)
    hits = np.bincount(number, weights=positive)
    low, high = wilson(hits, cases)
    return Reliability(np.bincount(number, weights=scores) / cases, hits / cases, low, high, cases)
