"""Error rates over thresholds are counts of errors."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation.cases import make_predictions
from sklearn.metrics import roc_curve

from her2qp.evaluation.intervals import wilson
from her2qp.evaluation.thresholds import balanced_threshold, cuts, error_rates


def test_the_cuts_of_four_three_and_two_classes() -> None:
    named = {
        ("0", "1+", "2+", "3+"): ["0 | ≥1+", "≤1+ | ≥2+", "<3+ | 3+"],
        ("0", "low", "positive"): ["0 | ≥low", "<positive | positive"],
        ("negative", "positive"): ["negative | positive"],
    }
    for classes, names in named.items():
        assert [cut.name for cut in cuts(make_predictions(20, classes=classes))] == names


def test_error_rates_by_counting() -> None:
    p = make_predictions(80, decimals=1)
    for k, cut in enumerate(cuts(p), start=1):
        rates = error_rates(cut, np.array([0.0, 0.3, 0.5, 1.01]))
        for i, threshold in enumerate(rates.thresholds):
            called = [sum(row[k:]) >= threshold for row in p.probabilities]
            wrong = [c for c, label in zip(called, p.labels, strict=True) if label < k]
            missed = [not c for c, label in zip(called, p.labels, strict=True) if label >= k]
            assert rates.fpr[i] == pytest.approx(np.mean(wrong))
            assert rates.fnr[i] == pytest.approx(np.mean(missed))
            assert rates.fpr_ends[:, i] == pytest.approx([float(e) for e in wilson(sum(wrong), len(wrong))])
            assert rates.fnr_ends[:, i] == pytest.approx([float(e) for e in wilson(sum(missed), len(missed))])


def test_error_rates_at_the_thresholds_of_scikit_learn() -> None:
    cut = cuts(make_predictions(90))[1]
    fpr, tpr, thresholds = roc_curve(cut.positive, cut.scores, drop_intermediate=False)
    rates = error_rates(cut, thresholds)
    assert rates.fpr == pytest.approx(fpr)
    assert 1 - rates.fnr == pytest.approx(tpr)


def test_no_threshold_does_better_than_the_balanced_one() -> None:
    cut = cuts(make_predictions(90, seed=5))[0]

    def worse(threshold: float) -> float:
        rates = error_rates(cut, np.array([threshold]))
        return max(rates.fpr[0], rates.fnr[0])

    best = worse(balanced_threshold(cut))
    assert best <= min(worse(t) for t in np.linspace(0, 1, 400))
    assert best < 0.5


def test_without_positive_cases_their_rate_is_not_defined() -> None:
    p = make_predictions(40)
    rates = error_rates(cuts(p.take(p.labels < 3))[2])
    assert np.isnan(rates.fnr).all()
    assert not np.isnan(rates.fpr).any()
    assert (rates.fnr_ends[0] == 0).all()
    assert (rates.fnr_ends[1] == 1).all()
