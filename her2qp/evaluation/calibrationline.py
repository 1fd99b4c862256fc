"""Whether probabilities of a yes-no question are too extreme or too timid, too high or too low: a line fitted to them.

Cox, "Two further applications of a model for binary regression", Biometrika 1958; called weak calibration by Van
Calster et al., Journal of Clinical Epidemiology 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from her2qp.evaluation.intervals import CONFIDENCE, Interval

_LEAST = 1e-6
"""Probabilities are kept this far from 0 and 1, where there is no log-odds."""


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """A fit of the true log-odds to those predicted, with 95 % Wald intervals; not defined where it has no end.

    Parameters
    ----------
    slope
        Of the true log-odds over the predicted ones: 1 is right, less than 1 too extreme, more than 1 too timid.
    intercept
        What is to be added to the predicted log-odds, with a slope of 1, for the mean to be right ("in the large"):
        0 is right, below 0 the probabilities are too high.
    """

    slope: Interval
    intercept: Interval

    def to_json(self) -> dict[str, dict[str, float | None]]:
        """Return the numbers for a JSON document."""
        return {"slope": self.slope.to_json(), "intercept": self.intercept.to_json()}


def calibration_line(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> CalibrationLine:
    """Fit slope and intercept.

    Parameters
    ----------
    scores
        Probability of a case to be positive, shape (n,).
    positive
        Which cases are, shape (n,). The cases are taken to be independent: one a patient.
    """
    from scipy.special import logit

    if positive.all() or not positive.any():
        return CalibrationLine(_around(np.nan, np.nan), _around(np.nan, np.nan))
    odds = logit(np.clip(scores, _LEAST, 1 - _LEAST))
    return CalibrationLine(_slope(odds, positive), _intercept(odds, positive))


def _slope(odds: NDArray[np.float64], positive: NDArray[np.bool_]) -> Interval:
    from sklearn.linear_model import LogisticRegression

    yes, no = odds[positive], odds[~positive]
    if np.ptp(odds) == 0 or yes.min() >= no.max() or yes.max() <= no.min():
        return _around(np.nan, np.nan)
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(odds[:, None], positive)
    p = fitted.predict_proba(odds[:, None])[:, 1]
    design = np.stack([np.ones_like(odds), odds], axis=1)
    covariance = np.linalg.inv(design.T @ (design * (p * (1 - p))[:, None]))
    return _around(float(fitted.coef_[0, 0]), float(np.sqrt(covariance[1, 1])))


def _intercept(odds: NDArray[np.float64], positive: NDArray[np.bool_]) -> Interval:
    from scipy.optimize import brentq
    from scipy.special import expit

    reach = float(np.abs(odds).max()) + np.log(len(odds)) + 1
    shift = brentq(lambda shift: (expit(odds + shift) - positive).sum(), -reach, reach)
    p = expit(odds + shift)
    return _around(float(shift), float(1 / np.sqrt((p * (1 - p)).sum())))


def _around(estimate: float, error: float) -> Interval:
    from scipy.special import ndtri

    half = float(ndtri((1 + CONFIDENCE) / 2)) * error
    return Interval(estimate, estimate - half, estimate + half)
