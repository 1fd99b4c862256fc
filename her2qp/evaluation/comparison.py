"""Two models on the same cases: is one better, and by how much at least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from her2qp.evaluation.alignment import aligned
from her2qp.evaluation.delong import AucDifference, delong_test
from her2qp.evaluation.intervals import REPLICATES, Interval, percentile_interval, resampled_weights
from her2qp.evaluation.metrics import METRICS, summarise, summarise_many
from her2qp.evaluation.predictions import Predictions


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of a metric between two models with its interval, and the two-sided p value of there being none."""

    interval: Interval
    p_value: float

    def to_json(self) -> dict[str, float | None]:
        """Return the numbers for a JSON document."""
        return {**self.interval.to_json(), "p": None if np.isnan(self.p_value) else self.p_value}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same cases.

    Parameters
    ----------
    one, other
        Names of the models; every difference is `one` less `other`.
    cases
        Number of cases.
    differences
        By metric, from resampling patients.
    delong
        By class, AUC against all other classes; a class of fewer than two cases is left out. Empty if a patient has
        several slides, for the test takes cases to be independent. No correction is made for looking at several
        classes.
    """

    one: str
    other: str
    cases: int
    differences: dict[str, Difference]
    delong: dict[str, AucDifference]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as a JSON document."""
        return {
            "difference_of": [self.one, self.other],
            "cases": self.cases,
            "paired_bootstrap": {name: difference.to_json() for name, difference in self.differences.items()},
            "delong_auc_one_vs_rest": {
                name: {**test.difference.to_json(), "p": test.p_value} for name, test in self.delong.items()
            },
        }


def compare(one: Predictions, other: Predictions, *, replicates: int = REPLICATES, seed: int = 0) -> Comparison:
    """Compare two models on the same cases.

    Parameters
    ----------
    one, other
        Of the same slides, in any order.
    replicates, seed
        Of the resampling of patients; both models see the same resamples.

    Raises
    ------
    EvaluationError
        The slides, their labels or the classes are not the same.
    """
    other = aligned(one, other)
    parts = []
    for weights in resampled_weights(one, replicates, seed):
        values, others = summarise_many(one, weights), summarise_many(other, weights)
        parts.append({name: values[name] - others[name] for name in values})
    estimates, other_estimates = summarise(one), summarise(other)
    differences = {
        name: _difference(estimates[name] - other_estimates[name], np.concatenate([part[name] for part in parts]))
        for name in estimates
        if name not in METRICS or METRICS[name].may_be_resampled
    }
    delong = {
        name: delong_test(one.probabilities[:, k], other.probabilities[:, k], one.labels == k)
        for k, name in enumerate(one.classes)
        if 2 <= one.counts[k] <= len(one) - 2 and len(set(one.patients)) == len(one)
    }
    return Comparison(one.name, other.name, len(one), differences, delong)


def _difference(estimate: float, resampled: np.ndarray) -> Difference:
    interval = percentile_interval(estimate, resampled)
    defined = resampled[~np.isnan(resampled)]
    if np.isnan(estimate) or not len(defined):
        return Difference(interval, np.nan)
    # One is added, for the cases themselves are one more resample, and no p value is zero.
    tail = min(np.sum(defined <= 0), np.sum(defined >= 0)) + 1
    return Difference(interval, float(min(1.0, 2 * tail / (len(defined) + 1))))
