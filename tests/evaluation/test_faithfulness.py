"""Deletion and insertion tell attention that matters from attention that does not."""

from __future__ import annotations

import numpy as np
import pytest

from her2qp.errors import EvaluationError
from her2qp.evaluation.faithfulness import SHARES, faithfulness_curves, mean_gains


def make_slide(seed: int, tiles: int = 100) -> np.ndarray:
    """Evidence of each tile: a fifth of them speaks for the class."""
    return (np.random.default_rng(seed).permutation(tiles) < tiles // 5).astype(float)


def judge_of(evidence: np.ndarray):
    return lambda bags: np.array([1 / (1 + np.exp(4 - 20 * evidence[rows].mean())) for rows in bags])


def test_curves_by_hand() -> None:
    evidence = np.arange(10.0)
    curves = faithfulness_curves(lambda bags: np.array([evidence[r].mean() for r in bags]), evidence, orders=3)
    # Insertion in order of attention: 9, then 9 and 8, ...; the emptiest bag holds one tile.
    assert curves.insertion == pytest.approx([9, 9, 8.5, 8, 7.5, 7, 6.5, 6, 5.5, 5, 4.5])
    assert curves.deletion == pytest.approx([4.5, 4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5, 0, 0])
    assert len(curves.random_deletion) == len(SHARES) == 11
    assert curves.random_deletion[0] == curves.random_insertion[-1] == pytest.approx(4.5)


def test_faithful_attention_gains_and_random_and_wrong_ones_do_not() -> None:
    slides = [make_slide(seed) for seed in range(30)]
    kinds = {
        "faithful": lambda evidence, rng: evidence + 0.1 * rng.random(len(evidence)),
        "random": lambda evidence, rng: rng.random(len(evidence)),
        "wrong": lambda evidence, rng: -evidence + 0.1 * rng.random(len(evidence)),
    }
    gains = {}
    for kind, attend in kinds.items():
        rng = np.random.default_rng(3)
        curves = [faithfulness_curves(judge_of(e), attend(e, rng), seed=k) for k, e in enumerate(slides)]
        gains[kind] = mean_gains(curves)
    for name in ("deletion", "insertion"):
        assert gains["faithful"][name].low > 0.1
        assert gains["random"][name].low < 0 < gains["random"][name].high
        assert gains["wrong"][name].high < -0.1


def test_the_judge_gets_ascending_rows_and_never_an_empty_bag() -> None:
    asked: list[np.ndarray] = []

    def judge(bags: list[np.ndarray]) -> np.ndarray:
        asked.extend(bags)
        return np.full(len(bags), 0.5)

    curves = faithfulness_curves(judge, np.array([0.2, 0.7, 0.1]), orders=2)
    assert all(len(rows) and (np.diff(rows) > 0).all() for rows in asked)
    assert curves.deletion_gain == curves.insertion_gain == 0
    single = faithfulness_curves(judge, np.array([1.0]))
    assert single.deletion.tolist() == [0.5] * 11


def test_attention_that_is_none() -> None:
    for attention in ([], [np.nan, 1.0]):
        with pytest.raises(EvaluationError, match="attention"):
            faithfulness_curves(lambda bags: np.full(len(bags), 0.5), np.array(attention))
    with pytest.raises(EvaluationError, match="no slide"):
        mean_gains([])
