"""The figures of an evaluation: ROC by class, calibration, thresholds, deletion and insertion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from her2qp.evaluation.calibration import reliability
from her2qp.evaluation.faithfulness import SHARES, Faithfulness
from her2qp.evaluation.plot import UnitPlot
from her2qp.evaluation.predictions import Predictions
from her2qp.evaluation.thresholds import Cut, error_rates

_FINE = np.linspace(0, 1, 101)


def roc_figures(models: Sequence[Predictions], baseline: Predictions | None) -> list[str]:
    """ROC of each class against all others, for up to two models, with the baseline's dashed; one SVG a class."""
    figures = []
    for k, name in enumerate(models[0].classes):
        plot = UnitPlot(f"{name} against all others", "false positive rate", "true positive rate")
        plot.line([0, 1], [0, 1], "diagonal")
        if baseline is not None:
            plot.line(*_roc(baseline.probabilities[:, k], baseline.labels == k), "baseline")
        for number, model in enumerate(models):
            plot.line(*_roc(model.probabilities[:, k], model.labels == k), f"model{number}")
        figures.append(plot.svg())
    return figures


def calibration_figures(models: Sequence[Predictions]) -> list[str]:
    """Observed against predicted for each class, with Wilson intervals; one SVG a class."""
    figures = []
    for k, name in enumerate(models[0].classes):
        plot = UnitPlot(name, "predicted probability", "observed share")
        plot.line([0, 1], [0, 1], "diagonal")
        for number, model in enumerate(models):
            found = reliability(model.probabilities[:, k], model.labels == k)
            plot.points(found.predicted, found.observed, found.low, found.high, f"model{number}")
        figures.append(plot.svg())
    return figures


def threshold_figure(cut: Cut) -> str:
    """False positive and false negative rate of a cut over thresholds, with Wilson bands, as SVG."""
    rates = error_rates(cut, _FINE)
    plot = UnitPlot(cut.name, "threshold", "error rate")
    plot.band(_FINE, rates.fpr_ends[0], rates.fpr_ends[1], "fpr")
    plot.band(_FINE, rates.fnr_ends[0], rates.fnr_ends[1], "fnr")
    plot.line(_FINE, rates.fpr, "fpr")
    plot.line(_FINE, rates.fnr, "fnr")
    return plot.svg()


def faithfulness_figures(curves: Sequence[Faithfulness]) -> list[str]:
    """Mean deletion and insertion curves over slides beside random order: two SVG."""
    figures = []
    for title, x_label, by_attention, at_random in (
        ("Deletion", "share of tiles taken away", "deletion", "random_deletion"),
        ("Insertion", "share of tiles put in", "insertion", "random_insertion"),
    ):
        plot = UnitPlot(title, x_label, "probability")
        plot.line(SHARES, np.mean([getattr(curve, at_random) for curve in curves], axis=0), "baseline")
        plot.line(SHARES, np.mean([getattr(curve, by_attention) for curve in curves], axis=0), "model0")
        figures.append(plot.svg())
    return figures


def _roc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False and true positive rate from the highest score down; nothing where a kind is absent."""
    if positive.all() or not positive.any():
        return np.empty(0), np.empty(0)
    thresholds = np.r_[np.inf, np.unique(scores)[::-1]]
    rates = error_rates(Cut("", scores, positive), thresholds)
    return rates.fpr, 1 - rates.fnr
