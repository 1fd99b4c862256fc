"""How sure a figure is: Wilson intervals of shares, and intervals by resampling patients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2qp.evaluation.metrics import METRICS, summarise, summarise_many
from her2qp.evaluation.predictions import Cases, Predictions

CONFIDENCE = 0.95
REPLICATES = 2000
_CHUNK = 1 << 20
"""Weights held at a time, so that memory does not grow with replicates times cases."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % interval; NaN where they are not defined.

    Parameters
    ----------
    estimate, low, high
        The figure on the cases themselves, and the ends of the interval.
    undefined
        Share of the resamples in which the figure was not defined, most often because a rare class was not drawn.
        They are left out.
    """

    estimate: float
    low: float
    high: float
    undefined: float = 0.0

    def __str__(self) -> str:
        if np.isnan(self.estimate):
            return "not defined"
        if np.isnan(self.low):
            return f"{self.estimate:.3f}"
        return f"{self.estimate:.3f} ({self.low:.3f} to {self.high:.3f})"

    def to_json(self) -> dict[str, float | None]:
        """Return the numbers for a JSON document, null where not defined."""
        numbers = {"estimate": self.estimate, "low": self.low, "high": self.high, "undefined": self.undefined}
        return {name: None if np.isnan(value) else value for name, value in numbers.items()}


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson score interval, 95 %, of a share.

    Parameters
    ----------
    successes, trials
        Counts of any one shape.

    Returns
    -------
    low, high
        Of the same shape; 0 and 1 where there are no trials.
    """
    from scipy.special import ndtri

    z = ndtri((1 + CONFIDENCE) / 2)
    n = np.asarray(trials, np.float64)
    some = np.maximum(n, 1)
    share = np.asarray(successes, np.float64) / some
    middle = (share + z**2 / (2 * some)) / (1 + z**2 / some)
    half = z / (1 + z**2 / some) * np.sqrt(share * (1 - share) / some + z**2 / (4 * some**2))
    low, high = np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)


def resampled_weights(cases: Cases, replicates: int = REPLICATES, seed: int = 0) -> Iterator[NDArray[np.float64]]:
    """Draw patients with replacement, as often as there are patients, and say how often each slide then counts.

    Yields
    ------
    ndarray
        Shape (b, n), float64; the rows of all arrays together are `replicates`. The slides of a patient always count
        equally often. The same patients and seed give the same draws.
    """
    names, patient = np.unique(cases.patients, return_inverse=True)
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(len(cases), len(names)))
    for start in range(0, replicates, step):
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=min(step, replicates - start))
        yield drawn[:, patient].astype(np.float64)


def bootstrap(predictions: Predictions, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Interval]:
    """Every metric with its 95 % interval by resampling patients (percentiles), where it may be resampled.

    It says how much the figure would change with other patients of the same kind. It says nothing of what would
    change with another training set, scanner or site.

    Parameters
    ----------
    predictions
        To judge.
    replicates
        Number of resamples.
    seed
        Of the draws.
    """
    parts = [summarise_many(predictions, weights) for weights in resampled_weights(predictions, replicates, seed)]
    return {
        name: Interval(estimate, np.nan, np.nan)
        if name in METRICS and not METRICS[name].may_be_resampled
        else percentile_interval(estimate, np.concatenate([part[name] for part in parts]))
        for name, estimate in summarise(predictions).items()
    }


def percentile_interval(estimate: float, resampled: NDArray[np.float64]) -> Interval:
    """Interval between the 2.5th and the 97.5th percentile of the resamples in which the figure is defined."""
    defined = resampled[~np.isnan(resampled)]
    if np.isnan(estimate) or not len(defined):
        return Interval(estimate, np.nan, np.nan, 1.0)
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(estimate, float(low), float(high), 1 - len(defined) / len(resampled))
