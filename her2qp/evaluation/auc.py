"""The area under the ROC curve for many weightings of the same cases at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def weighted_auc(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probability that a positive case scores higher than a negative one, ties counted half.

    Parameters
    ----------
    scores
        Shape (n,).
    positive
        Which cases are positive, shape (n,).
    weights
        How often each case counts, one row a weighting, shape (b, n).

    Returns
    -------
    ndarray
        Shape (b,), float64; NaN where a weighting leaves no positive or no negative case.
    """
    if not len(scores):
        return np.full(len(weights), np.nan)
    order = np.argsort(scores, kind="stable")
    ordered, is_positive, weight = scores[order], positive[order], weights[:, order]
    ties = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    positives = np.add.reduceat(np.where(is_positive, weight, 0.0), ties, axis=1)
    negatives = np.add.reduceat(np.where(is_positive, 0.0, weight), ties, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    won = (positives * below).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return np.asarray(np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))
