"""Kernel contrastive learning: its term by hand, its views, its follower, and that training lowers it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from her2qp.models.bag import Bag, collate
from her2qp.models.bundle import Bundle
from her2qp.models.contrast import thinned
from her2qp.models.kat import KAT

MakeKAT = Callable[..., KAT]
MakeBag = Callable[..., Bag]


def test_the_term_by_hand(make_kat: MakeKAT, make_bag: MakeBag) -> None:
    model = make_kat(contrast=0.3, contrast_drop=0.0, dropout=0.0).train()
    batch, labels = model.collate([make_bag(61), make_bag(20)]), torch.tensor([1, 3])
    logits = model(batch)
    follower, momentum = model.contrast.follower, model.config.contrast_momentum
    before = follower.blocks[0].qkv.weight.clone()
    loss = model.loss(logits, labels, batch)
    expected = momentum * before + (1 - momentum) * model.blocks[0].qkv.weight
    torch.testing.assert_close(follower.blocks[0].qkv.weight, expected)
    kernels = len(batch.anchors_um)
    states = model.kernel_states(batch)
    assert states.shape == (2 * kernels, 10)
    predicted = model.contrast.predictor(model.contrast.projector(states)).detach().numpy()
    wanted = model.contrast.follower_projector(follower.kernel_states(batch)).numpy()
    cosines = (predicted * wanted).sum(1) / np.linalg.norm(predicted, axis=1) / np.linalg.norm(wanted, axis=1)
    expected = cross_entropy(logits, labels).item() + 0.3 * np.mean(1 - cosines)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(p.grad is None for p in follower.parameters())
    assert model.contrast.projector[0].weight.grad.abs().max() > 0
    assert model.eval().loss(logits, labels, batch).item() == cross_entropy(logits, labels).item()


def test_views_keep_anchors_and_a_tile_of_every_bag(make_kat: MakeKAT, make_bag: MakeBag) -> None:
    batch = make_kat().collate([make_bag(n, seed=n) for n in (1, 400, 2, 300)])
    torch.manual_seed(0)
    views = [thinned(batch, 0.9) for _ in range(20)]
    counts = np.array([view.tile_counts for view in views])
    assert counts.min() >= 1
    assert (counts[:, 1] < 400).all() and counts[:, 1].min() < 200 and counts[:, 1].max() > 300
    for view in views:
        assert torch.equal(view.anchors_um, batch.anchors_um)
        assert len(view.features) == sum(view.tile_counts)
        rows = {tuple(row) for row in batch.features.tolist()}
        assert all(tuple(row) in rows for row in view.features.tolist())


def test_training_lowers_the_term(make_kat: MakeKAT, make_bag: MakeBag) -> None:
    model = make_kat(contrast=1.0, dropout=0.0).train()
    batch, labels = collate([model.prepare(make_bag(n, seed=n)) for n in (60, 50)]), torch.tensor([0, 1])
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    torch.manual_seed(0)
    terms = []
    for _ in range(25):
        logits = model(batch)
        loss = model.loss(logits, labels, batch)
        terms.append((loss - cross_entropy(logits, labels)).item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert terms[-1] < terms[0] / 2


def test_a_contrastive_model_travels_in_a_bundle(
    tmp_path: Path, make_kat: MakeKAT, make_bag: MakeBag, make_bundle: Callable[..., Bundle]
) -> None:
    one = make_bundle()
    saved = Bundle.create(make_kat(contrast=0.1), one.config.features, one.config.training, name="contrast")
    saved.save(tmp_path / "bundle")
    loaded, bag = Bundle.load(tmp_path / "bundle"), make_bag(30)
    np.testing.assert_array_equal(loaded.probabilities(bag), saved.probabilities(bag))
