"""What chance alone gives: the labels dealt anew to the patients."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from her2qp.evaluation.intervals import Interval, percentile_interval
from her2qp.evaluation.metrics import summarise
from her2qp.evaluation.predictions import Cases, Predictions

PERMUTATIONS = 300
AnyCases = TypeVar("AnyCases", bound=Cases)


def permuted_labels(cases: AnyCases, rng: np.random.Generator) -> AnyCases:
    """Deal the labels anew to the patients; all slides of a patient get the label of another patient's first slide.

    Train on the result to see what a model reaches that has nothing to learn.
    """
    _, first, patient = np.unique(cases.patients, return_index=True, return_inverse=True)
    return replace(cases, labels=rng.permutation(cases.labels[first])[patient])


def permutation_null(predictions: Predictions, permutations: int = PERMUTATIONS, seed: int = 0) -> dict[str, Interval]:
    """Every metric of the same predictions with the labels dealt anew: mean, and where 95 % of the deals lie.

    A figure inside the interval may be chance.

    Parameters
    ----------
    predictions
        To judge.
    permutations
        Number of deals.
    seed
        Of the deals.
    """
    rng = np.random.default_rng(seed)
    dealt = [summarise(permuted_labels(predictions, rng)) for _ in range(permutations)]
    values = {name: np.array([summary[name] for summary in dealt]) for name in dealt[0]}
    return {name: percentile_interval(float(np.mean(value)), value) for name, value in values.items()}
