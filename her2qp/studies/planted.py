"""Whether attention finds what was planted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2qp.evaluation.auc import weighted_auc
from her2qp.evaluation.intervals import REPLICATES, Interval
from her2qp.models.bag import Bag
from her2qp.models.model import Model


def finding_auc(attention: ArrayLike, planted: ArrayLike) -> float:
    """Probability that a planted tile gets more attention than another, ties counted half; NaN without either kind.

    Parameters
    ----------
    attention
        Of each tile of a slide, shape (n,).
    planted
        Which tiles were planted, shape (n,), bool.
    """
    scores, mask = np.asarray(attention, np.float64), np.asarray(planted, np.bool_)
    return float(weighted_auc(scores, mask, np.ones((1, len(scores))))[0])


def attention_finds(
    judged: Iterable[tuple[Model, Bag, NDArray[np.bool_]]], replicates: int = REPLICATES, seed: int = 0
) -> Interval:
    """Mean over slides of :func:`finding_auc`, with a 95 % interval from resampled slides.

    Parameters
    ----------
    judged
        Slides with a model that has not seen them, and their planted tiles. A slide of nothing else is passed over.
    replicates, seed
        Of the resampling.
    """
    found = [finding_auc(model.judge(bag)[1].numpy(), planted) for model, bag, planted in judged]
    return mean_interval([value for value in found if not np.isnan(value)], replicates, seed)


def mean_interval(values: Sequence[float], replicates: int = REPLICATES, seed: int = 0) -> Interval:
    """Mean with the interval that 95 % of the means of resampled values lie in; all NaN without a value."""
    if not values:
        return Interval(np.nan, np.nan, np.nan)
    sample = np.asarray(values)
    drawn = np.random.default_rng(seed).integers(len(sample), size=(replicates, len(sample)))
    low, high = np.percentile(sample[drawn].mean(axis=1), [2.5, 97.5])
    return Interval(float(sample.mean()), float(low), float(high))
