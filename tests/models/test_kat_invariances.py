"""What must not change a KAT's answer, and what must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from her2qp.models.anchors import AnchorConfig
from her2qp.models.bag import Bag, collate
from her2qp.models.kat import KAT
from her2qp.models.kernel_attention import GaussianAttention
from her2qp.models.kernel_block import Tokens
from her2qp.models.model import Model
from her2qp.models.neighbourhoods import lay_out
from her2qp.models.registry import ARCHITECTURES

MakeKAT = Callable[..., KAT]
MakeBag = Callable[..., Bag]

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(params=["multiply", "bias"])
def model(request: pytest.FixtureRequest, make_kat: MakeKAT) -> KAT:
    return make_kat(mask_mode=request.param)


@pytest.fixture
def bag(model: KAT, make_bag: MakeBag) -> Bag:
    """A bag with several anchors."""
    bag = model.prepare(make_bag(61))
    assert len(bag.anchors_um) >= 5
    return bag


def test_order_of_tiles(model: KAT, make_bag: MakeBag) -> None:
    bag = make_bag(61)
    order = np.random.default_rng(1).permutation(len(bag))
    logits, attention = model.judge(bag)
    shuffled_logits, shuffled_attention = model.judge(bag.take(order))
    np.testing.assert_allclose(shuffled_logits, logits, **CLOSE)
    np.testing.assert_allclose(shuffled_attention, attention[order], **CLOSE)


def test_order_of_kernels(model: KAT, bag: Bag) -> None:
    for one, other in zip(model.judge(bag), model.judge(replace(bag, anchors_um=bag.anchors_um[::-1])), strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


def test_translation(model: KAT, make_bag: MakeBag) -> None:
    bag = make_bag(61)
    moved = replace(bag, positions_um=bag.positions_um + np.array([123_456.7, -3_210.9]))
    for one, other in zip(model.judge(bag), model.judge(moved), strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


@pytest.mark.parametrize("turn", [[[0, -1], [1, 0]], [[-1, 0], [0, 1]], [[0.6, -0.8], [0.8, 0.6]]])
def test_rotation_and_reflection_with_the_same_anchors(model: KAT, bag: Bag, turn: list[list[float]]) -> None:
    turned = replace(bag, positions_um=bag.positions_um @ np.array(turn), anchors_um=bag.anchors_um @ np.array(turn))
    for one, other in zip(model.judge(bag), model.judge(turned), strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


def test_magnification_changes_nothing_where_the_tissue_is_the_same(make_kat: MakeKAT, make_bag: MakeBag) -> None:
    bag = make_bag(61)
    scaled = replace(bag, positions_um=bag.positions_um * 3, tile_um=bag.tile_um * 3)
    same = make_kat(area_um2=9 * bag.tile_um**2 * 9)
    for one, other in zip(make_kat().judge(bag), same.judge(scaled), strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


def test_an_infinitely_wide_gaussian_ignores_where_tiles_lie(model: KAT, bag: Bag) -> None:
    strewn = replace(bag, positions_um=np.random.default_rng(2).permutation(bag.positions_um))
    assert (model.judge(strewn)[0] - model.judge(bag)[0]).abs().max() > 1e-3
    anchors = AnchorConfig(area_um2=1e18)
    wide = KAT(model.config.model_copy(update={"anchors": anchors})).eval()
    wide.load_state_dict(model.state_dict())
    for one, other in zip(wide.judge(strewn), wide.judge(bag), strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


def test_the_bias_is_the_product_renormalised(bag: Bag) -> None:
    layout = lay_out(collate([bag]))
    (piece,) = layout.pieces
    generator = torch.Generator().manual_seed(3)
    queries = torch.randn(2, len(bag), 6, generator=generator)
    keys = torch.randn(2, len(bag.anchors_um), 6, generator=generator)
    # With a value of 1 at one kernel and 0 at the others, what is received is the weight of that kernel.
    values = torch.eye(len(bag.anchors_um)).expand(2, -1, -1)
    product, bias = (
        GaussianAttention(9 * 128.0**2, mode).receive(piece, queries, keys, values) for mode in ("multiply", "bias")
    )
    np.testing.assert_allclose(product / product.sum(dim=-1, keepdim=True), bias, rtol=1e-4, atol=1e-7)
    assert (product.sum(dim=-1) < 0.9).all()


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - {"ensemble"}))
def test_a_batch_gives_what_its_bags_give_one_by_one(
    architecture: str, make_model: Callable[[str], Model], make_bag: MakeBag
) -> None:
    model = make_model(architecture)
    bags = [make_bag(n, seed=n) for n in (9, 61, 1, 25, 100, 4)]
    batch = model.collate(bags)
    with torch.no_grad():
        logits, attention = model.classify_with_attention(model.embed(batch), batch)
        np.testing.assert_allclose(model(batch), logits, **CLOSE)
    for row, (bag, share) in enumerate(zip(bags, attention.split(batch.tile_counts), strict=True)):
        one_logits, one_attention = model.judge(bag)
        np.testing.assert_allclose(logits[row], one_logits, **CLOSE)
        np.testing.assert_allclose(share, one_attention, **CLOSE)
        assert float(share.sum()) == pytest.approx(1, abs=1e-5)
        assert share.min() >= 0


def test_what_the_last_block_does_to_tiles_and_kernels_reaches_no_logit(model: KAT, bag: Bag) -> None:
    batch = model.collate([bag])
    logits = model(batch)
    layout, bags = lay_out(batch), batch.bag_of_anchor
    tokens = Tokens(layout.split(model.embed(batch)), model.kernel_token[None], model.class_token[None])
    for level, block in enumerate(model.blocks):
        before = tokens
        attention = GaussianAttention(model.config.anchors.area_um2 * 2**level, model.config.mask_mode)
        tokens, _, _ = block(before, layout, bags, attention, tiles_go_on=True)
    np.testing.assert_allclose(model.head(tokens.class_tokens).detach(), logits.detach(), **CLOSE)
    gradients = torch.autograd.grad(
        model.head(tokens.class_tokens).sum(),
        [*tokens.tiles, tokens.kernels, *before.tiles, before.kernels],
        allow_unused=True,
    )
    after_tiles, after_kernels, before_tiles, before_kernels = gradients
    assert after_tiles is None and after_kernels is None and before_tiles is None
    assert before_kernels.abs().max() > 0


def test_a_dropped_tile_leaves_its_anchor(model: KAT, bag: Bag) -> None:
    anchor_rows = [int(np.flatnonzero((bag.positions_um == anchor).all(axis=1))[0]) for anchor in bag.anchors_um]
    dropped = bag.take(np.setdiff1d(np.arange(len(bag)), anchor_rows))
    np.testing.assert_array_equal(model.prepare(dropped).anchors_um, bag.anchors_um)
    assert torch.isfinite(model.judge(dropped)[0]).all()
