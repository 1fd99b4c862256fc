"""Predictions drawn for the tests of several files."""

from __future__ import annotations

import numpy as np

from her2qp.evaluation.predictions import Cases, Predictions

GRADES = ("0", "1+", "2+", "3+")


def make_cases(
    count: int, *, classes: tuple[str, ...] = GRADES, seed: int = 0, slides_each: int = 1, prefix: str = "P"
) -> Cases:
    """Cases in which every class occurs, on five sites."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(len(classes)), rng.integers(0, len(classes), count - len(classes))])
    rows = np.repeat(np.arange(count), slides_each)
    return Cases(
        labels=labels[rows],
        classes=classes,
        patients=np.array([f"{prefix}{i}" for i in rows]),
        slides=np.array([f"{prefix}{i}-{k}.svs" for k, i in enumerate(rows)]),
        sites=np.array([f"S{i % 5}" for i in rows]),
    )


def make_predictions(
    count: int,
    *,
    classes: tuple[str, ...] = GRADES,
    seed: int = 0,
    signal: float = 1.0,
    slides_each: int = 1,
    decimals: int = 12,
    noise_seed: int | None = None,
    name: str = "model",
    prefix: str = "P",
) -> Predictions:
    """Predictions with some signal; few decimals give equal scores."""
    cases = make_cases(count, classes=classes, seed=seed, slides_each=slides_each, prefix=prefix)
    rng = np.random.default_rng(seed + 1000 if noise_seed is None else noise_seed)
    logits = rng.normal(size=(len(cases), len(classes))) + signal * cases.one_hot
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rounded = np.round(probabilities, decimals) + 10.0**-decimals
    return cases.judged(rounded / rounded.sum(axis=1, keepdims=True), name)
