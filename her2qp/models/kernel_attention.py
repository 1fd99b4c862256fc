"""Attention between the tiles and the kernels of a neighbourhood, weighted by how far they lie apart.

All is computed in float32, whatever precision the rest of the model runs in: exponents of distances and sums over a
whole slide do not fit into half precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from her2qp.models.neighbourhoods import Neighbourhood

MaskMode = Literal["multiply", "bias"]

WIDEST = 60.0
"""Range of exponents that float32 can hold on one scale, with room to add many."""


class Gathered(NamedTuple):
    """What kernels read from some of the tiles: parts of sums that :func:`merge` completes.

    Parameters
    ----------
    kernels
        Which they are in the batch, shape (k,), int64.
    highest
        What the exponents were lowered by, shape (h, k); without a gradient.
    mass
        Sum of the weights, shape (h, k).
    sums
        Weighted sums of the values of the tiles, shape (h, k, w).
    """

    kernels: Tensor
    highest: Tensor
    mass: Tensor
    sums: Tensor


@dataclass(frozen=True, slots=True)
class GaussianAttention:
    """Attention that fades with distance.

    Parameters
    ----------
    variance_um2
        σ² of the Gaussian, µm².
    mode
        "multiply": softmax(s) ⊙ exp(-d²/2σ²), not renormalised, as published. "bias": softmax(s - d²/2σ²), the
        same weights renormalised to sum 1.
    """

    variance_um2: float
    mode: MaskMode

    def gather(self, piece: Neighbourhood, queries: Tensor, keys: Tensor, values: Tensor) -> Gathered:
        """Let the kernels read from the tiles of a piece.

        Parameters
        ----------
        queries
            Of all kernels of the batch, shape (h, k, w); (h, 1, w) if they are all the same.
        keys, values
            Of the tiles of the piece, shape (h, t, w).
        """
        near = piece.count_near(self.variance_um2)
        exponents = piece.log_gaussian(near, self.variance_um2)
        rows = piece.kernels[:near] if self.mode == "bias" else piece.kernels
        if queries.shape[1] == 1:
            scores = _scores(queries, keys)
            lowest, top = scores.detach().aminmax()
            if piece.strangers is None and float(top - lowest) < WIDEST:
                return self._gather_alike(rows, scores, values, exponents)
            queries = queries.expand(-1, len(rows), -1)
        else:
            queries = _take(queries, rows)
        scores = _scores(queries, keys)
        if self.mode == "bias":
            scores = scores.add_(exponents)
        elif piece.strangers is not None:
            scores = scores.masked_fill(piece.strangers, -torch.inf)
        highest = scores.detach().amax(dim=-1)
        weights = scores.sub_(highest[..., None]).exp_()
        mass = weights.sum(dim=-1)
        if self.mode == "multiply":
            weights = weights[:, :near] * exponents.exp()
        return Gathered(rows, highest, mass, _for_all(rows, weights @ values))

    def _gather_alike(self, rows: Tensor, scores: Tensor, values: Tensor, exponents: Tensor) -> Gathered:
        """Where all kernels ask the same, a tile's weight is a product: of its score's part and of the Gaussian's."""
        highest = scores.detach().amax(dim=-1)
        weights = (scores - highest[..., None]).exp().mT
        if self.mode == "multiply":
            mass = weights.sum(dim=1).expand(-1, len(rows))
            sums = exponents.exp() @ (weights * values)
            return Gathered(rows, highest.expand(-1, len(rows)), mass, _for_all(rows, sums))
        nearest = exponents.amax(dim=-1)
        gaussian = (exponents - nearest[:, None]).exp()
        return Gathered(rows, highest + nearest, (gaussian @ weights)[..., 0], gaussian @ (weights * values))

    def receive(self, piece: Neighbourhood, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Let the tiles of a piece read from the kernels.

        Parameters
        ----------
        queries
            Of the tiles of the piece, shape (h, t, w).
        keys, values
            Of all kernels of the batch, shape (h, k, w).

        Returns
        -------
        Weighted sums of the values, shape (h, t, w).
        """
        near = piece.count_near(self.variance_um2)
        rows = piece.kernels[:near]
        exponents = piece.log_gaussian(near, self.variance_um2).mT
        if self.mode == "bias":
            return _attend(queries, _take(keys, rows), _take(values, rows), exponents)
        scores = _scores(queries, _take(keys, piece.kernels))
        if piece.strangers is not None:
            scores = scores.masked_fill(piece.strangers.mT, -torch.inf)
        weights = torch.softmax(scores, dim=-1)[..., :near] * exponents.exp()
        return weights @ _take(values, rows)

    def share_of_one(self, piece: Neighbourhood) -> Tensor:
        """What is left of a value that all kernels have in common when the tiles of a piece read it, shape (t,)."""
        if self.mode == "bias":
            return torch.ones_like(piece.tiles_um[:, 0])
        near = piece.count_near(self.variance_um2)
        return piece.log_gaussian(near, self.variance_um2).exp().sum(dim=0) / piece.kernels_of_tiles()

    def trace(self, piece: Neighbourhood, weights: Tensor, queries: Tensor, keys: Tensor, log_mass: Tensor) -> Tensor:
        """Hand a weight on each kernel out to the tiles of a piece, by the mean attention of the heads.

        Parameters
        ----------
        weights
            Shape (k,).
        queries, keys
            As for :meth:`gather`.
        log_mass
            Of all kernels: logarithm of what their weights are divided by, shape (h, k).

        Returns
        -------
        Shape (t,).
        """
        near = piece.count_near(self.variance_um2)
        rows = piece.kernels[:near]
        queries = queries if queries.shape[1] == 1 else _take(queries, rows)
        exponents = _scores(queries, keys) + piece.log_gaussian(near, self.variance_um2)
        attention = (exponents - log_mass[:, rows, None]).exp().mean(dim=0)
        traced: Tensor = weights[rows] @ attention
        return traced


def merge(parts: Sequence[Gathered]) -> Gathered:
    """Add up what kernels have read from several parts of the tiles; the result has its kernels in ascending order."""
    kernels, rows = torch.unique(torch.cat([part.kernels for part in parts]), return_inverse=True)
    highest = torch.cat([part.highest for part in parts], dim=1)
    top = highest.new_full((len(highest), len(kernels)), -torch.inf)
    top = top.scatter_reduce(1, rows.expand_as(highest), highest, "amax")
    scale = (highest - top[:, rows]).exp()
    mass = torch.cat([part.mass for part in parts], dim=1) * scale
    sums = torch.cat([part.sums for part in parts], dim=1) * scale[..., None]
    return Gathered(kernels, top, _add_up(mass, rows, len(kernels)), _add_up(sums, rows, len(kernels)))


def _add_up(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """Sum values (h, n, …) that belong to the same row, as (h, count, …)."""
    heads = torch.arange(len(values), device=values.device)[:, None]
    # Not index_add: in training it would keep the values, which its gradient does not need.
    return values.new_zeros(len(values), count, *values.shape[2:]).index_put((heads, rows), values, accumulate=True)


def _for_all(kernels: Tensor, sums: Tensor) -> Tensor:
    """Append the zeros that kernels too far away have got."""
    return pad(sums, (0, 0, 0, len(kernels) - sums.shape[1]))


def _attend(queries: Tensor, keys: Tensor, values: Tensor, exponents: Tensor) -> Tensor:
    attended = scaled_dot_product_attention(queries[None], keys[None], values[None], exponents[None, None])
    return attended[0]


def _take(states: Tensor, rows: Tensor) -> Tensor:
    # Heads are the middle of three dimensions in memory: rows are copied whole.
    return states.transpose(0, 1).index_select(0, rows).transpose(0, 1)


def _scores(queries: Tensor, keys: Tensor) -> Tensor:
    return torch.matmul(queries * queries.shape[-1] ** -0.5, keys.mT)
