"""Mixed precision: every model in half precision says about what it says in full, and learns from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch

from her2qp.models.bag import Bag
from her2qp.models.heads import HeadKind
from her2qp.models.kat import KAT
from her2qp.models.model import Model
from her2qp.models.registry import ARCHITECTURES, build_model

MakeBag = Callable[..., Bag]


def gap_in_half_precision(model: Model, bags: list[Bag]) -> float:
    """Largest difference of a probability; gradients and attention are checked on the way."""
    batch, labels = model.collate(bags), torch.arange(len(bags)) % model.config.classes
    with torch.no_grad():
        full = model(batch).softmax(dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        logits, attention = model.classify_with_attention(model.embed(batch), batch)
        loss = model.training_loss(batch, labels)
    loss.backward()
    assert logits.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    sums = torch.stack([share.sum() for share in attention.detach().float().split(batch.tile_counts)])
    torch.testing.assert_close(sums, torch.ones(len(bags)), rtol=1e-3, atol=1e-3)
    return (logits.softmax(dim=1) - full).abs().max().item()


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - {"ensemble"}))
def test_every_architecture(architecture: str, make_model: Callable[[str], Model], make_bag: MakeBag) -> None:
    bags = [make_bag(n, seed=n) for n in (61, 1, 25, 700)]
    assert gap_in_half_precision(make_model(architecture), bags) < 0.1


@pytest.mark.parametrize("mask_mode", ["multiply", "bias"])
def test_distances_do_not_suffer(mask_mode: str, make_kat: Callable[..., KAT], make_bag: MakeBag) -> None:
    model = make_kat(mask_mode=mask_mode, contrast=0.1).train()
    assert gap_in_half_precision(model, [make_bag(2000)]) < 1


@pytest.mark.parametrize("kind", get_args(HeadKind))
def test_every_head(kind: HeadKind, make_bag: MakeBag) -> None:
    classes = 2 if kind == "binary" else 4
    model = build_model("slidegraph", {"dimension": 12, "classes": classes, "head": kind, "ranking": 0.5}).eval()
    assert gap_in_half_precision(model, [make_bag(n, seed=n) for n in (9, 30)]) < 0.05
