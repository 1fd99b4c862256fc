"""The temperature undoes overconfidence, and a handful of cases does not make certainty."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from her2qp.training.calibration import find_temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_finds_how_far_logits_were_stretched(temperature: float) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(4000, 4)) * 1.5
    labels = np.array([rng.choice(4, p=p) for p in softmax(true, axis=1)])
    assert find_temperature(true * temperature, labels) == pytest.approx(temperature, rel=0.1)


def test_few_cases_that_are_all_right_do_not_make_certainty() -> None:
    found = {}
    for count in (4, 400):
        labels = np.arange(count) % 4
        found[count] = find_temperature(np.eye(4)[labels] * 2, labels)
    assert found[400] < found[4]
    assert 0.3 < found[4] < 1
    assert find_temperature(np.zeros((3, 4)), np.array([0, 1, 2])) == pytest.approx(1, abs=1e-3)
