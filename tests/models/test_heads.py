"""Heads against the likelihoods that their papers state, at the ends of what floats can hold, and in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch.nn.functional import cross_entropy

from her2qp.errors import BundleError, ModelError
from her2qp.models.bag import Bag
from her2qp.models.heads import CORNHead, CumulativeHead, HeadKind, make_head
from her2qp.models.registry import ARCHITECTURES, build_model
from her2qp.training.fit import Examples, FitSettings, fit

KINDS = get_args(HeadKind)
SMALL = {
    "kat": {"depth": 2, "width": 16, "heads": 2, "head_width": 8, "mlp_width": 16, "dropout": 0.0, "residual": "pre"},
    "abmil": {"width": 16},
    "clam": {"width": 16},
    "slidegraph": {"dropout": 0.0},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def classes_of(kind: str) -> int:
    return 2 if kind == "binary" else 4


@every_kind
def test_the_logits_make_a_distribution(kind: HeadKind) -> None:
    head = make_head(kind, 7, classes_of(kind))
    logits = head(torch.randn(50, 7) * 5)
    assert logits.shape == (50, classes_of(kind))
    assert logits.isfinite().all()
    if kind in ("corn", "cumulative"):
        torch.testing.assert_close(logits.exp().sum(dim=-1), torch.ones(50))


def test_corn_is_the_product_of_its_conditional_likelihoods() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(40, 3)) * 3, rng.integers(0, 4, size=40)
    expected = 0.0
    for task in range(3):
        # Of the slides that are at least of this class, which are above it?
        reached = labels >= task
        above = expit(scores[reached, task])
        expected -= np.log(np.where(labels[reached] > task, above, 1 - above)).sum()
    logits = CORNHead(5, 4).logits(torch.tensor(scores))
    found = cross_entropy(logits, torch.tensor(labels), reduction="sum")
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_the_cumulative_link_follows_its_definition() -> None:
    head = CumulativeHead(5, 4).double()
    with torch.no_grad():
        head.gaps.copy_(torch.tensor([-1.0, 2.0]))
    cuts = head.cuts().detach().numpy()
    assert (np.diff(cuts) > 0).all()
    scores = np.linspace(-6, 6, 41)
    below = np.concatenate([np.zeros((41, 1)), expit(cuts[None] - scores[:, None]), np.ones((41, 1))], axis=1)
    found = head.logits(torch.tensor(scores)[:, None]).exp().detach().numpy()
    np.testing.assert_allclose(found, np.diff(below, axis=1), rtol=1e-9)
    # The higher the score, the likelier are the upper classes, wherever the line is drawn.
    assert (np.diff(found[:, ::-1].cumsum(axis=1)[:, :-1], axis=0) > 0).all()


@pytest.mark.parametrize("classes", [2, 3, 4, 1000])
def test_an_untrained_cumulative_head_prefers_no_class_at_score_zero(classes: int) -> None:
    logits = CumulativeHead(5, classes).double().logits(torch.zeros(1, 1, dtype=torch.float64))
    torch.testing.assert_close(logits.exp(), torch.full_like(logits, 1 / classes), rtol=1e-4, atol=1e-6)


@every_kind
def test_two_classes_need_one_score_at_most_two(kind: HeadKind) -> None:
    pooled = torch.randn(6, 3)
    head = make_head(kind, 3, 2)
    probabilities = head(pooled).softmax(dim=-1)
    if kind == "binary":
        torch.testing.assert_close(probabilities[:, 1], head.scores(pooled)[:, 0].sigmoid())
    assert probabilities.shape == (6, 2)


def test_a_binary_head_refuses_four_classes() -> None:
    with pytest.raises(ModelError, match="two classes apart, not 4"):
        make_head("binary", 3, 4)
    with pytest.raises(BundleError, match=r"hyperparameters of kat: .*two classes apart, not 4"):
        build_model("kat", {"dimension": 3, "classes": 4, "head": "binary"})


@every_kind
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_extreme_scores_stay_finite_with_their_gradients(kind: HeadKind, size: float) -> None:
    head = make_head(kind, 2, classes_of(kind))
    if isinstance(head, CumulativeHead):
        with torch.no_grad():
            head.gaps.fill_(-size)
    scores = torch.tensor([[size], [-size]]).repeat(1, head.out_features).requires_grad_()
    loss = cross_entropy(head.logits(scores), torch.tensor([0, 1]))
    loss.backward()
    assert loss.isfinite()
    assert scores.grad is not None and scores.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in head.parameters() if p.grad is not None)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - {"ensemble"}))
@every_kind
def test_every_architecture_learns_an_order_with_every_head(
    kind: HeadKind, architecture: str, make_bag: Callable[..., Bag]
) -> None:
    classes = classes_of(kind)
    bags, labels = [], []
    for number in range(4 * classes):
        bag = make_bag(6, seed=number)
        bag.features[:, :4] += 2.5 * (number % classes)
        bags.append(bag)
        labels.append(number % classes)
    torch.manual_seed(1)
    model = build_model(architecture, {"dimension": 12, "classes": classes, "head": kind} | SMALL.get(architecture, {}))
    settings = FitSettings(epochs=60, learning_rate=2e-2, batch_size=8)
    losses = fit(model, Examples(bags, labels), None, settings).epochs
    assert losses[-1].training_loss < 0.9 * losses[0].training_loss
    probabilities = np.stack([model.judge(bag)[0].softmax(dim=0) for bag in bags])
    assert np.corrcoef(probabilities @ np.arange(classes), labels)[0, 1] > 0.85
