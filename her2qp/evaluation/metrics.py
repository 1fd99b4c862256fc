"""The metrics, each under its exact name.

Every metric takes predictions and weights of shape (b, n), how often each case counts in each of `b` weightings, and
returns `b` values: one row of ones gives the figure itself, rows of resampled counts give its bootstrap. A value that
is not defined (the AUC of a class that is absent) is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from her2qp.evaluation.auc import weighted_auc
from her2qp.evaluation.predictions import Predictions

Weights = NDArray[np.float64]
Values = NDArray[np.float64]

ECE_BINS = 15


def unweighted(predictions: Predictions) -> Weights:
    """Return the weighting in which every case counts once, shape (1, n)."""
    return np.ones((1, len(predictions)))


def confusion_matrices(predictions: Predictions, weights: Weights) -> Values:
    """Weight of the cases of each class (row) by predicted class (column), shape (b, c, c)."""
    c = len(predictions.classes)
    cell = np.eye(c * c)[predictions.labels * c + predictions.predicted]
    return np.asarray((weights @ cell).reshape(-1, c, c))


def accuracy(predictions: Predictions, weights: Weights) -> Values:
    """Share of cases whose most probable class is right."""
    return _mean((predictions.predicted == predictions.labels).astype(np.float64), weights)


def balanced_accuracy(predictions: Predictions, weights: Weights) -> Values:
    """Mean over the classes that occur of the share of their cases that is found."""
    confusion = confusion_matrices(predictions, weights)
    return _nanmean(_ratio(_hits(confusion), confusion.sum(axis=2)))


def macro_f1(predictions: Predictions, weights: Weights) -> Values:
    """Mean of the F1 of each class that occurs or is predicted."""
    confusion = confusion_matrices(predictions, weights)
    return _nanmean(_ratio(2 * _hits(confusion), confusion.sum(axis=1) + confusion.sum(axis=2)))


def micro_f1(predictions: Predictions, weights: Weights) -> Values:
    """F1 of all decisions taken together. Where each case has one class, as here, it equals the accuracy."""
    confusion = confusion_matrices(predictions, weights)
    decisions = confusion.sum(axis=1) + confusion.sum(axis=2)
    return _ratio(2 * _hits(confusion).sum(axis=1), decisions.sum(axis=1))


def quadratic_weighted_kappa(predictions: Predictions, weights: Weights) -> Values:
    """Agreement beyond chance, where a miss by two classes weighs four times one by one (Cohen 1968)."""
    confusion = confusion_matrices(predictions, weights)
    c = confusion.shape[1]
    miss = (np.arange(c)[:, None] - np.arange(c)) ** 2
    by_chance = confusion.sum(axis=2)[:, :, None] * confusion.sum(axis=1)[:, None, :]
    expected = (by_chance * miss).sum(axis=(1, 2)) / confusion.sum(axis=(1, 2))
    return np.asarray(1 - _ratio((confusion * miss).sum(axis=(1, 2)), expected))


def auc_by_class(predictions: Predictions, weights: Weights) -> Values:
    """AUC of each class against all others by its probability, shape (b, c)."""
    p, labels = predictions.probabilities, predictions.labels
    return np.stack([weighted_auc(p[:, k], labels == k, weights) for k in range(p.shape[1])], axis=1)


def auc_macro_ovr(predictions: Predictions, weights: Weights) -> Values:
    """Mean over the classes of the AUC of each against all others. NaN if a class is absent."""
    return np.asarray(auc_by_class(predictions, weights).mean(axis=1))


def auc_macro_ovo(predictions: Predictions, weights: Weights) -> Values:
    """Mean over ordered pairs of classes of the AUC among their cases (Hand and Till 2001). NaN if one is absent."""
    p, labels = predictions.probabilities, predictions.labels
    aucs = []
    for one, other in permutations(range(p.shape[1]), 2):
        rows = np.flatnonzero((labels == one) | (labels == other))
        aucs.append(weighted_auc(p[rows, one], labels[rows] == one, weights[:, rows]))
    return np.asarray(np.mean(aucs, axis=0))


def brier(predictions: Predictions, weights: Weights) -> Values:
    """Mean squared distance of the probabilities from the truth, 0 to 2; of two classes half of it, 0 to 1."""
    distance = ((predictions.probabilities - predictions.one_hot) ** 2).sum(axis=1)
    return _mean(distance / 2 if len(predictions.classes) == 2 else distance, weights)


def nll(predictions: Predictions, weights: Weights) -> Values:
    """Mean negative logarithm of the probability of the true class; a zero counts as the machine's epsilon."""
    of_truth = (predictions.probabilities * predictions.one_hot).sum(axis=1)
    return _mean(-np.log(np.maximum(of_truth, np.finfo(np.float64).eps)), weights)


def ece(predictions: Predictions, weights: Weights) -> Values:
    """Expected calibration error of the most probable class over 15 bins of equal width (Guo et al. 2017)."""
    confidence = predictions.probabilities.max(axis=1)
    bins = np.minimum((confidence * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    return _calibration_error(confidence, predictions.predicted == predictions.labels, bins, weights)


def classwise_ece(predictions: Predictions, weights: Weights) -> Values:
    """Mean over the classes of the calibration error of their probability, over 15 bins of equally many cases."""
    errors = [
        _calibration_error(p, predictions.labels == k, equal_mass_bins(p, ECE_BINS), weights)
        for k, p in enumerate(predictions.probabilities.T)
    ]
    return np.asarray(np.mean(errors, axis=0))


def equal_mass_bins(scores: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Bin of each case, as many cases in each as equal scores allow, shape (n,)."""
    inner = np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(np.unique(inner), scores, side="left")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its title and which way is better.

    A calibration error counts noise as error, and resampling adds noise: resamples of it lie beside the figure, not
    around it, so it gets no interval.
    """

    values: Callable[[Predictions, Weights], Values]
    title: str
    higher_is_better: bool
    may_be_resampled: bool = True


METRICS = {
    "accuracy": Metric(accuracy, "Accuracy", True),
    "balanced_accuracy": Metric(balanced_accuracy, "Balanced accuracy", True),
    "auc_macro_ovr": Metric(auc_macro_ovr, "AUC, macro OvR", True),
    "auc_macro_ovo": Metric(auc_macro_ovo, "AUC, macro OvO", True),
    "macro_f1": Metric(macro_f1, "Macro F1", True),
    "micro_f1": Metric(micro_f1, "Micro F1", True),
    "quadratic_weighted_kappa": Metric(quadratic_weighted_kappa, "Quadratic weighted kappa", True),
    "brier": Metric(brier, "Brier score", False),
    "nll": Metric(nll, "Negative log-likelihood", False),
    "ece": Metric(ece, "ECE", False, False),
    "classwise_ece": Metric(classwise_ece, "Class-wise ECE", False, False),
}


def summarise_many(predictions: Predictions, weights: Weights) -> dict[str, Values]:
    """Every metric for every weighting: by name, each of shape (b,); the AUC of each class as ``auc(CLASS)``."""
    values = {name: metric.values(predictions, weights) for name, metric in METRICS.items()}
    by_class = auc_by_class(predictions, weights)
    return values | {f"auc({name})": by_class[:, k] for k, name in enumerate(predictions.classes)}


def summarise(predictions: Predictions) -> dict[str, float]:
    """Every metric of some predictions by its exact name; NaN where it is not defined.

    Examples
    --------
    >>> from her2qp.evaluation import read_predictions, summarise
    >>> summarise(read_predictions("predictions.csv"))["auc_macro_ovr"]  # doctest: +SKIP
    """
    return {name: float(values[0]) for name, values in summarise_many(predictions, unweighted(predictions)).items()}


def _mean(values: NDArray[np.float64], weights: Weights) -> Values:
    return np.asarray(weights @ values / weights.sum(axis=1))


def _hits(confusion: Values) -> Values:
    return np.diagonal(confusion, axis1=1, axis2=2)


def _ratio(part: Values, whole: Values) -> Values:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0))


def _nanmean(by_class: Values) -> Values:
    present = ~np.isnan(by_class)
    return np.asarray(np.where(present, by_class, 0).sum(axis=1) / present.sum(axis=1))


def _calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: NDArray[np.int64], weights: Weights
) -> Values:
    # A bin's share times |accuracy - mean confidence| is the absolute sum of what its cases are off.
    in_bin = np.eye(bins.max() + 1)[bins] * (right - confidence)[:, None]
    return np.asarray(np.abs(weights @ in_bin).sum(axis=1) / weights.sum(axis=1))
