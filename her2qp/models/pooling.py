"""Sums over what belongs to one bag, in tensors that hold several bags one after another."""

from __future__ import annotations

import torch
from torch import Tensor

from her2qp.models.bag import BagBatch


def segment_sums(values: Tensor, segments: Tensor, count: int) -> Tensor:
    """Sum rows (n, …) by the segment (n,) that each belongs to, as (count, …)."""
    return values.new_zeros(count, *values.shape[1:]).index_add(0, segments, values)


def segment_softmax(scores: Tensor, segments: Tensor, count: int) -> Tensor:
    """Softmax of scores (n, …) over the rows of each segment, float32."""
    scores = scores.float()
    rows = segments.view(-1, *[1] * (scores.ndim - 1)).expand_as(scores)
    lowest = scores.new_full((count, *scores.shape[1:]), -torch.inf)
    weights = (scores - lowest.scatter_reduce(0, rows, scores.detach(), "amax")[segments]).exp()
    return weights / segment_sums(weights, segments, count)[segments]


def bag_sums(values: Tensor, batch: BagBatch) -> Tensor:
    """Sum over the tiles of each bag: from (n, …) to (b, …)."""
    return segment_sums(values, batch.bag_of_tile, len(batch))


def bag_softmax(scores: Tensor, batch: BagBatch) -> Tensor:
    """Softmax over the tiles of each bag, shape (n,), float32."""
    return segment_softmax(scores, batch.bag_of_tile, len(batch))


def uniform(batch: BagBatch) -> Tensor:
    """The same weight for all tiles of a bag, sum 1 over each; shape (n,), float32."""
    return (1 / batch.features.new_tensor(batch.tile_counts))[batch.bag_of_tile]
