"""Intervals are those of published examples and of slow computations, and hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation.cases import make_predictions
from scipy.stats import binomtest, norm

from her2qp.errors import EvaluationError
from her2qp.evaluation.comparison import compare
from her2qp.evaluation.delong import delong_covariance, delong_interval, delong_test
from her2qp.evaluation.intervals import bootstrap, resampled_weights, wilson
from her2qp.evaluation.metrics import summarise
from her2qp.evaluation.predictions import Predictions


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_examples_of_newcombe_1998(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes, trials)
    assert [float(end) for end in found] == pytest.approx([low, high], abs=5e-5)


def test_wilson_is_that_of_scipy_and_knows_nothing_without_trials() -> None:
    trials = np.array([1, 7, 150, 2000])
    successes = np.array([1, 0, 63, 1999])
    low, high = wilson(successes, trials)
    for k, n, a, b in zip(successes, trials, low, high, strict=True):
        interval = binomtest(int(k), int(n)).proportion_ci(method="wilson")
        assert (a, b) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert [float(end) for end in wilson(0, 0)] == [0, 1]


def test_resampling_takes_patients_not_slides() -> None:
    p = make_predictions(40, slides_each=3)
    weights = np.concatenate(list(resampled_weights(p, 200, seed=1)))
    assert weights.shape == (200, 120)
    by_patient = weights.reshape(200, 40, 3)
    assert (by_patient == by_patient[:, :, :1]).all()
    assert (by_patient[:, :, 0].sum(axis=1) == 40).all()


def test_bootstrap_of_accuracy_is_as_wide_as_theory_says() -> None:
    p = make_predictions(400)
    interval = bootstrap(p, replicates=1000)["accuracy"]
    half = 1.96 * np.sqrt(interval.estimate * (1 - interval.estimate) / 400)
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.1)
    # Three copies of each slide are no new evidence.
    copies = Predictions(
        labels=np.tile(p.labels, 3),
        classes=p.classes,
        patients=np.tile(p.patients, 3),
        slides=np.arange(1200).astype(str),
        probabilities=np.tile(p.probabilities, (3, 1)),
    )
    again = bootstrap(copies, replicates=1000)["accuracy"]
    assert again.high - again.low == pytest.approx(interval.high - interval.low, rel=0.1)


def test_bootstrap_gives_the_same_twice_and_says_how_often_a_class_was_not_drawn() -> None:
    p = make_predictions(60)
    rare = p.take(np.r_[np.flatnonzero(p.labels != 3), np.flatnonzero(p.labels == 3)[:1]])
    one, two = bootstrap(rare, replicates=500, seed=4), bootstrap(rare, replicates=500, seed=4)
    assert str(one) == str(two)
    # A single case of a class is missing from a resample with probability 1/e.
    assert one["auc_macro_ovr"].undefined == pytest.approx(np.exp(-1), abs=0.08)
    assert one["accuracy"].undefined == 0
    assert np.isnan(one["ece"].low)


def structural_components(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """V10 and V01 of DeLong et al. 1988 by their definition."""
    ones, others = scores[positive], scores[~positive]
    psi = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in others] for x in ones])
    return psi.mean(axis=1), psi.mean(axis=0)


def test_delong_is_its_definition_in_loops() -> None:
    one, other = make_predictions(60, decimals=1), make_predictions(60, decimals=1, noise_seed=9)
    positive = one.labels == 2
    scores = np.stack([one.probabilities[:, 2], other.probabilities[:, 2]])
    aucs, covariance = delong_covariance(scores, positive)
    parts = [structural_components(s, positive) for s in scores]
    p, n = positive.sum(), (~positive).sum()
    for i in range(2):
        assert aucs[i] == pytest.approx(parts[i][0].mean())
        for j in range(2):
            expected = np.cov(parts[i][0], parts[j][0])[0, 1] / p + np.cov(parts[i][1], parts[j][1])[0, 1] / n
            assert covariance[i, j] == pytest.approx(expected)
    test = delong_test(scores[0], scores[1], positive)
    z = (aucs[0] - aucs[1]) / np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert test.p_value == pytest.approx(2 * norm.sf(abs(z)))
    assert test.difference.estimate == pytest.approx(aucs[0] - aucs[1])


def test_delong_and_bootstrap_agree() -> None:
    p = make_predictions(300)
    exact = delong_interval(p.probabilities[:, 1], p.labels == 1)
    resampled = bootstrap(p)["auc(1+)"]
    assert exact.estimate == pytest.approx(resampled.estimate)
    assert (exact.low, exact.high) == pytest.approx((resampled.low, resampled.high), abs=0.01)


def test_comparison_finds_the_better_model_and_no_difference_between_equals() -> None:
    good, poor = make_predictions(300, signal=2.5), make_predictions(300, signal=0.3, noise_seed=8, name="poor")
    found = compare(good, poor, replicates=500)
    assert found.differences["accuracy"].interval.low > 0
    assert found.differences["accuracy"].p_value < 0.01
    assert found.differences["nll"].interval.high < 0
    assert found.delong["3+"].p_value < 0.001
    expected = summarise(good)["auc_macro_ovr"] - summarise(poor)["auc_macro_ovr"]
    assert found.differences["auc_macro_ovr"].interval.estimate == pytest.approx(expected)
    same = compare(good, good, replicates=100)
    assert same.differences["accuracy"].p_value == 1
    assert same.delong["0"].p_value == 1


def test_comparison_under_no_difference_is_rarely_significant() -> None:
    p_values = []
    for seed in range(40):
        one = make_predictions(80, seed=seed, noise_seed=2 * seed + 5000)
        other = make_predictions(80, seed=seed, noise_seed=2 * seed + 5001)
        p_values.append(compare(one, other, replicates=100).differences["auc_macro_ovr"].p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.175
    assert 0.3 < np.mean(p_values) < 0.7


def test_slides_may_come_in_any_order_but_must_be_the_same() -> None:
    one, other = make_predictions(50), make_predictions(50, noise_seed=3, name="other")
    shuffled = other.take(np.random.default_rng(0).permutation(50))
    assert str(compare(one, other, replicates=50)) == str(compare(one, shuffled, replicates=50))
    with pytest.raises(EvaluationError, match=r"P0-0\.svs is missing in other"):
        compare(one, other.take(np.arange(1, 50)))
    with pytest.raises(EvaluationError, match="different labels"):
        compare(one, make_predictions(50, seed=1, name="other"))
    with pytest.raises(EvaluationError, match="classes"):
        compare(one, make_predictions(50, classes=("0", "low", "positive")))
