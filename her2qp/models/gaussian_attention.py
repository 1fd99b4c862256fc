"""Attention whose weights fade with distance, computed in pieces so that memory is linear in the longer side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

MaskMode = Literal["multiply", "bias"]

WEIGHTS_AT_ONCE = 2**24
"""Attention weights held at a time (64 MiB in float32)."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the queries and keys of one attention lie.

    Parameters
    ----------
    queries_um, keys_um
        Shapes (b, q, 2) and (b, k, 2), µm.
    key_mask
        Shape (b, k), bool; False where padded.
    variance_um2
        σ² of the Gaussian, µm².
    mode
        "multiply": softmax(s) ⊙ exp(-d²/2σ²), not renormalised, as published. "bias": softmax(s - d²/2σ²), the
        same weights renormalised to sum 1.
    """

    queries_um: Tensor
    keys_um: Tensor
    key_mask: Tensor
    variance_um2: float
    mode: MaskMode

    def rows(self, start: int, stop: int) -> Places:
        """The same for a part of the queries."""
        return Places(self.queries_um[:, start:stop], self.keys_um, self.key_mask, self.variance_um2, self.mode)


def attention_weights(queries: Tensor, keys: Tensor, places: Places) -> Tensor:
    """Weights of every key for every query.

    Parameters
    ----------
    queries, keys
        Shapes (b, h, q, w) and (b, h, k, w).

    Returns
    -------
    Shape (b, h, q, k).
    """
    scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
    scores = scores.masked_fill(~places.key_mask[:, None, None, :], -torch.inf)
    # Differences, not |q|² - 2qk + |k|²: the latter cancels to nothing in float32.
    steps = places.queries_um[:, :, None] - places.keys_um[:, None]
    log_gaussian = steps.square().sum(dim=-1)[:, None] / (-2 * places.variance_um2)
    if places.mode == "bias":
        return torch.softmax(scores + log_gaussian, dim=-1)
    return torch.softmax(scores, dim=-1) * log_gaussian.exp()


def attend(queries: Tensor, keys: Tensor, values: Tensor, places: Places) -> Tensor:
    """Weighted sums of the values, shape (b, h, q, w)."""

    def part(start: int, stop: int) -> Tensor:
        return attention_weights(queries[:, :, start:stop], keys, places.rows(start, stop)) @ values

    return torch.cat(_in_parts(part, queries, keys), dim=2)


def spread(weights: Tensor, queries: Tensor, keys: Tensor, places: Places) -> Tensor:
    """Hand a weight on each query out to the keys by the mean attention of the heads.

    Parameters
    ----------
    weights
        Shape (b, q).

    Returns
    -------
    Shape (b, k).
    """

    def part(start: int, stop: int) -> Tensor:
        attention = attention_weights(queries[:, :, start:stop], keys, places.rows(start, stop)).mean(dim=1)
        return torch.einsum("bq,bqk->bk", weights[:, start:stop], attention)

    return torch.stack(_in_parts(part, queries, keys)).sum(dim=0)


def _in_parts(part: Callable[[int, int], Tensor], queries: Tensor, keys: Tensor) -> list[Tensor]:
    batch, heads, count, _ = queries.shape
    step = max(1, WEIGHTS_AT_ONCE // (batch * heads * keys.shape[2]))
    if step >= count:
        return [part(0, count)]
    spans = [(start, min(start + step, count)) for start in range(0, count, step)]
    if torch.is_grad_enabled():
        # Recompute each part's weights in the backward pass instead of keeping all of them.
        return [checkpoint(part, *span, use_reentrant=False) for span in spans]
    return [part(*span) for span in spans]
