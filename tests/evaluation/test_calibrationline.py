"""Slope and intercept of calibration, against their likelihood and on probabilities that are off in a known way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation.cases import make_predictions
from scipy.optimize import minimize
from scipy.special import expit, logit

from her2qp.evaluation import evaluate, write_report
from her2qp.evaluation.calibrationline import calibration_line


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, and cases that are positive as often as these say."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=n) - 0.5
    return odds, rng.random(n) < expit(odds)


@pytest.mark.parametrize(("stretch", "shift"), [(1.0, 0.0), (2.0, 0.0), (0.5, 0.0), (1.0, 0.7)])
def test_probabilities_that_are_too_extreme_too_timid_or_too_high_are_told(stretch: float, shift: float) -> None:
    odds, positive = drawn(4000)
    line = calibration_line(expit(stretch * odds + shift), positive)
    assert line.slope.low < 1 / stretch < line.slope.high
    if stretch == 1.0:
        assert line.intercept.low < -shift < line.intercept.high
    assert line.slope.high - line.slope.low < 0.4 / stretch


def test_the_estimates_are_those_of_greatest_likelihood_and_the_errors_those_of_its_curvature() -> None:
    odds, positive = drawn(60, seed=1)
    line = calibration_line(expit(odds), positive)

    def surprise(a: float, b: float) -> float:
        return float(np.logaddexp(0, -np.where(positive, 1, -1) * (a + b * odds)).sum())

    both = minimize(lambda w: surprise(*w), [0.0, 1.0], tol=1e-12)
    large = minimize(lambda w: surprise(w[0], 1.0), [0.0], tol=1e-12)
    assert line.slope.estimate == pytest.approx(both.x[1], abs=1e-4)
    assert line.intercept.estimate == pytest.approx(large.x[0], abs=1e-4)
    step, best = 1e-3, large.x[0]
    curvature = (surprise(best + step, 1) - 2 * surprise(best, 1) + surprise(best - step, 1)) / step**2
    assert line.intercept.high - line.intercept.low == pytest.approx(2 * 1.95996 / np.sqrt(curvature), rel=1e-3)


def test_the_intervals_hold_the_truth_in_95_of_100_draws() -> None:
    lines = [calibration_line(expit(odds), positive) for odds, positive in (drawn(150, seed) for seed in range(200))]
    assert 180 <= sum(line.slope.low < 1 < line.slope.high for line in lines) <= 199
    assert 180 <= sum(line.intercept.low < 0 < line.intercept.high for line in lines) <= 199


def test_a_line_without_end_is_not_defined() -> None:
    apart = calibration_line(np.array([0.1, 0.2, 0.8, 1.0]), np.array([False, False, True, True]))
    assert np.isnan(apart.slope.estimate) and np.isfinite(apart.intercept.estimate)
    alike = calibration_line(np.full(10, 0.5), np.arange(10) < 2)
    assert np.isnan(alike.slope.estimate)
    assert alike.intercept.estimate == pytest.approx(logit(0.2))
    assert np.isnan(calibration_line(np.full(3, 0.5), np.ones(3, bool)).intercept.estimate)


def test_the_report_has_a_line_for_every_cut(tmp_path: Path) -> None:
    found = evaluate(make_predictions(60), replicates=20, permutations=10)
    assert list(found.to_json()["calibration"]) == ["0 | ≥1+", "≤1+ | ≥2+", "<3+ | 3+"]
    write_report(tmp_path / "e.html", found)
    page = (tmp_path / "e.html").read_text(encoding="utf-8")
    slope = found.to_json()["calibration"]["≤1+ | ≥2+"]["slope"]["estimate"]
    assert "≤1+ | ≥2+" in page and f"{slope:.3f} (" in page
