"""Variance of AUCs and of their difference on the same cases, without resampling (DeLong et al. 1988)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import EvaluationError
from her2qp.evaluation.intervals import CONFIDENCE, Interval


@dataclass(frozen=True, slots=True)
class AucDifference:
    """Difference of two AUCs on the same cases with its interval, and the p value of there being none."""

    difference: Interval
    p_value: float


def delong_covariance(
    scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AUCs of several scores of the same cases, and the covariance of these AUCs.

    The cases are taken to be independent: one a patient. Computed from midranks (Sun and Xu 2014), so in the time of
    a sort.

    Parameters
    ----------
    scores
        One row a model, shape (m, n).
    positive
        Which cases are positive, shape (n,).

    Returns
    -------
    aucs, covariance
        Shapes (m,) and (m, m), float64.

    Raises
    ------
    EvaluationError
        There are not at least two positive and two negative cases.
    """
    from scipy.stats import rankdata

    p, n = int(positive.sum()), int((~positive).sum())
    if min(p, n) < 2:
        raise EvaluationError(f"{p} positive and {n} negative cases are too few to tell the variance of an AUC")
    overall = rankdata(scores, axis=1)
    # Share of the other kind that each case beats, by how far others of its own kind leave its rank behind.
    beaten = (overall[:, positive] - rankdata(scores[:, positive], axis=1)) / n
    unbeaten = 1 - (overall[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / p
    covariance = np.atleast_2d(np.cov(beaten)) / p + np.atleast_2d(np.cov(unbeaten)) / n
    return beaten.mean(axis=1), covariance


def delong_interval(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Interval:
    """AUC with its 95 % interval, cut off at 0 and 1; `scores` of shape (n,)."""
    auc, covariance = delong_covariance(scores[None], positive)
    return _normal_interval(float(auc[0]), float(covariance[0, 0]), 0, 1)


def delong_test(one: NDArray[np.float64], other: NDArray[np.float64], positive: NDArray[np.bool_]) -> AucDifference:
    """Compare the AUCs of two scores of the same cases.

    Parameters
    ----------
    one, other
        Shape (n,).
    positive
        Which cases are positive, shape (n,).

    Returns
    -------
    AucDifference
        AUC of `one` less AUC of `other`, and the two-sided p value.
    """
    from scipy.special import ndtr

    auc, covariance = delong_covariance(np.stack([one, other]), positive)
    difference = float(auc[0] - auc[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if variance <= 0:
        return AucDifference(Interval(difference, difference, difference), 1.0 if difference == 0 else 0.0)
    p_value = float(2 * ndtr(-abs(difference) / np.sqrt(variance)))
    return AucDifference(_normal_interval(difference, variance, -1, 1), p_value)


def _normal_interval(estimate: float, variance: float, lowest: float, highest: float) -> Interval:
    from scipy.special import ndtri

    half = float(ndtri((1 + CONFIDENCE) / 2)) * max(variance, 0) ** 0.5
    return Interval(estimate, max(estimate - half, lowest), min(estimate + half, highest))
