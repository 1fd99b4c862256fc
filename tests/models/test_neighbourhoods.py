"""Pieces of a batch: that they hold every tile once, that what they leave out is negligible, and that it is much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from her2qp.models import neighbourhoods, steps
from her2qp.models.bag import Bag, collate
from her2qp.models.kat import KAT
from her2qp.models.neighbourhoods import SMALL_BAGS, lay_out

MakeKAT = Callable[..., KAT]
MakeBag = Callable[..., Bag]


def test_every_tile_lies_in_one_piece_with_the_kernels_of_its_bag(make_kat: MakeKAT, make_bag: MakeBag) -> None:
    batch = make_kat().collate([make_bag(n, seed=n) for n in (3, 20, 1, 1400, 7, 700, 5)])
    layout = lay_out(batch)
    assert sorted(layout.order.tolist()) == list(range(len(batch.features)))
    assert [piece.tiles.start for piece in layout.pieces[1:]] == [piece.tiles.stop for piece in layout.pieces[:-1]]
    for piece in layout.pieces:
        tiles = batch.bag_of_tile[layout.order[piece.tiles]]
        kernels = batch.bag_of_anchor[piece.kernels]
        strangers = torch.zeros(1) if piece.strangers is None else piece.strangers
        assert torch.equal(strangers.bool().expand(len(kernels), len(tiles)), kernels[:, None] != tiles)
        assert len(kernels) == sum(batch.anchor_counts[bag] for bag in set(tiles.tolist()))
    assert [piece.strangers is None for piece in layout.pieces] == [False] + [True] * 8


def test_tiles_of_a_piece_lie_together(make_kat: MakeKAT, make_bag: MakeBag) -> None:
    batch = make_kat().collate([make_bag(4000)])
    layout = lay_out(batch)
    for piece in layout.pieces:
        extent = np.ptp(batch.positions_um[layout.order[piece.tiles]].numpy(), axis=0)
        # Half of the places on the grid are taken: so many tiles cover twice their own area.
        assert np.prod(extent / 128) < 1.5 * 2 * len(piece.tiles_um)
        assert extent.max() < 3 * extent.min()


def test_single_tiles_share_pieces_and_bags_of_any_size_do_not() -> None:
    bags = [Bag(np.ones((n, 2)), np.zeros((n, 2)), 1) for n in [1] * 200 + [SMALL_BAGS + 1] * 3]
    counts = [piece.tiles.stop - piece.tiles.start for piece in lay_out(collate(bags)).pieces]
    assert counts == [64, 64, 64, 8, 65, 65, 65]


@pytest.mark.parametrize("mask_mode", ["multiply", "bias"])
def test_near_kernels_stand_for_all(
    mask_mode: str, make_kat: MakeKAT, make_bag: MakeBag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbourhoods, "TILES_AT_ONCE", 64)
    monkeypatch.setattr(neighbourhoods, "TILES_A_STEP", 500)
    monkeypatch.setattr(steps, "REMEMBERED", 1000)
    model = make_kat(mask_mode=mask_mode, residual="pre", readout="all_exits")
    bag = model.prepare(make_bag(3000))
    # Tissue of which every anchor was dropped: its tiles read the nearest there is, however far.
    bag = replace(bag, anchors_um=bag.anchors_um[bag.anchors_um[:, 0] < np.median(bag.positions_um[:, 0])])
    pieces = lay_out(collate([bag])).pieces
    shares = [piece.count_near(model.config.anchors.area_um2) / len(piece.kernels) for piece in pieces]
    assert min(shares) < 0.3

    def outcome() -> list[torch.Tensor]:
        model.zero_grad()
        model(model.collate([bag])).square().sum().backward()
        gradients = [p.grad.flatten().clone() for p in model.parameters() if p.grad is not None]
        return [*model.judge(bag), torch.cat(gradients)]

    local = outcome()
    monkeypatch.setattr(neighbourhoods, "NEGLIGIBLE", np.inf)
    monkeypatch.setattr(steps, "REMEMBERED", 10_000)
    for found, dense in zip(local, outcome(), strict=True):
        assert (found - dense).abs().max() < 1e-4 * dense.abs().max()


@pytest.mark.parametrize("mask_mode", ["multiply", "bias"])
def test_what_training_keeps_of_large_slides_grows_with_their_tiles(
    mask_mode: str, make_kat: MakeKAT, make_bag: MakeBag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbourhoods, "TILES_AT_ONCE", 128)
    monkeypatch.setattr(neighbourhoods, "TILES_A_STEP", 500)
    model = make_kat(mask_mode=mask_mode, area_um2=100 * 128.0**2)

    def kept(tiles: int) -> int:
        """Bytes that wait for the backward pass."""
        batch, storages = model.collate([make_bag(tiles)]), {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logits = model(batch)
        assert logits.requires_grad
        return sum(storage.nbytes() for storage in storages.values())

    everything = kept(4000)
    monkeypatch.setattr(steps, "REMEMBERED", 0)
    small, large = kept(2000), kept(4000)
    assert large < 2.1 * small
    assert large < everything / 5


@pytest.mark.parametrize("mask_mode", ["multiply", "bias"])
def test_scores_far_apart_do_not_underflow(mask_mode: str, make_kat: MakeKAT, make_bag: MakeBag) -> None:
    model = make_kat(mask_mode=mask_mode)
    with torch.no_grad():
        for block in model.blocks:
            block.qkv.weight *= 30
    logits, attention = model.judge(make_bag(600))
    assert logits.isfinite().all()
    assert attention.isfinite().all()
    assert torch.isfinite(model.judge_tiles(make_bag(70).features)).all()
