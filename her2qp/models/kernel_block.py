"""One block of the kernel attention transformer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from her2qp.models.attention import KernelReading
from her2qp.models.dropout import Dropout
from her2qp.models.kernel_attention import Gathered, GaussianAttention, merge
from her2qp.models.neighbourhoods import Layout, Run, sizes
from her2qp.models.pooling import segment_softmax, segment_sums
from her2qp.models.precision import full_precision
from her2qp.models.steps import in_steps


class Tokens(NamedTuple):
    """States of the three kinds of token.

    Parameters
    ----------
    tiles
        Of each run of the layout, shape (t, w); never one below the other, for copying them takes a while.
    kernels
        Shape (k, w), or (1, w) while all are alike.
    class_tokens
        Shape (b, w).
    """

    tiles: Sequence[Tensor]
    kernels: Tensor
    class_tokens: Tensor


class KernelHeads(NamedTuple):
    """What tiles need of the kernels.

    Parameters
    ----------
    queries, keys, values
        Of the kernels, each (h, k, w) or (h, 1, w).
    key_weights
        What makes the keys of tiles for these queries, shape (h w, width of a tile).
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    key_weights: Tensor


class KernelAttentionBlock(nn.Module):
    """One block; its norm, projections and feed-forward network are shared by the three kinds of token.

    All three updates read the states before the block.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head_width: int,
        mlp_width: int,
        dropout: float,
        residual: Literal["normed", "pre"],
    ) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = head_width
        self.residual = residual
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.out = nn.Sequential(nn.Linear(heads * head_width, width), Dropout(dropout))
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, mlp_width),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(mlp_width, width),
            Dropout(dropout),
        )

    def forward(
        self, tokens: Tokens, layout: Layout, bag_of_kernel: Tensor, attention: GaussianAttention, *, tiles_go_on: bool
    ) -> tuple[Tokens, KernelReading, Tensor]:
        """Update the tokens.

        Parameters
        ----------
        tokens
            Tiles in the order of the layout.
        bag_of_kernel
            Shape (k,), int64.
        tiles_go_on
            Whether a later block reads the tiles; if not, none are returned.

        Returns
        -------
        The tokens, what the kernels read from the tiles, and what the class tokens read from the kernels.
        """
        kernels = self.norm(tokens.kernels)
        heads = self._kernel_heads(kernels)
        steps = [partial(self._step, run, attention, tiles_go_on) for run in layout.runs]
        results = in_steps(self, steps, tokens.tiles, heads)
        updated = [new_tiles for new_tiles, *_ in results]
        whole = merge([Gathered(*part) for _, *part in results])
        class_tokens, weights = self._read_kernels(tokens.class_tokens, heads, bag_of_kernel)
        base = kernels if self.residual == "normed" else tokens.kernels
        read = _join_heads(whole.sums / whole.mass[..., None])
        new_tokens = Tokens(updated, self._update(base, self.out(read)), class_tokens)

        def keys(run: int) -> Tensor:
            return self._heads(self.norm(tokens.tiles[run]), heads.key_weights)

        log_mass = whole.highest + whole.mass.log()
        return new_tokens, KernelReading(heads.queries, keys, log_mass, attention), weights

    def conclude(self, tokens: Tokens, bag_of_kernel: Tensor) -> tuple[Tensor, Tensor]:
        """Update the class tokens only: what else the last block would do reaches no logit."""
        heads = self._kernel_heads(self.norm(tokens.kernels))
        return self._read_kernels(tokens.class_tokens, heads, bag_of_kernel)

    def _step(
        self, run: Run, attention: GaussianAttention, tiles_go_on: bool, tiles: Tensor, *heads: Tensor
    ) -> tuple[Tensor, ...]:
        """Update the tiles of a run, and let the kernels read from them."""
        kernels = KernelHeads(*heads)
        query_weights, _, value_weights = self.qkv.weight.chunk(3)
        normed = self.norm(tiles)
        keys, values = (
            torch.split(self._heads(normed, weights), sizes(run), dim=1)
            for weights in (kernels.key_weights, value_weights)
        )
        with full_precision(tiles):
            part = merge(
                [
                    attention.gather(piece, kernels.queries, *read)
                    for piece, *read in zip(run, keys, values, strict=True)
                ]
            )
        if not tiles_go_on:
            return tiles[:0], *part
        base = normed if self.residual == "normed" else tiles
        if kernels.values.shape[1] == 1:
            # Kernels that are all the same give every tile the same, but for how near they are.
            shares = torch.cat([attention.share_of_one(piece) for piece in run])
            projection, dropout = cast(tuple[nn.Linear, Dropout], tuple(self.out))
            common = linear(_join_heads(kernels.values), projection.weight)
            return self._update(base, dropout(torch.addcmul(projection.bias, shares[:, None], common))), *part
        queries = torch.split(self._heads(normed, query_weights), sizes(run), dim=1)
        with full_precision(tiles):
            received = [
                _join_heads(attention.receive(piece, asking, kernels.keys, kernels.values))
                for piece, asking in zip(run, queries, strict=True)
            ]
        return self._update(base, self.out(torch.cat(received))), *part

    def _read_kernels(self, class_tokens: Tensor, kernels: KernelHeads, bag_of_kernel: Tensor) -> tuple[Tensor, Tensor]:
        normed = self.norm(class_tokens)
        queries = self._heads(normed, self.qkv.weight.chunk(3)[0])[:, bag_of_kernel]
        scores = (queries * kernels.keys).sum(dim=-1) * queries.shape[-1] ** -0.5
        weights = segment_softmax(scores.mT, bag_of_kernel, len(class_tokens))
        read = segment_sums(weights[..., None] * kernels.values.transpose(0, 1), bag_of_kernel, len(class_tokens))
        base = normed if self.residual == "normed" else class_tokens
        return self._update(base, self.out(read.flatten(1))), weights.mean(dim=1)

    def _kernel_heads(self, normed: Tensor) -> KernelHeads:
        weights = self.qkv.weight.chunk(3)
        queries, keys, values = (self._heads(normed, part) for part in weights)
        if len(normed) > 1:
            return KernelHeads(queries, keys, values, weights[1])
        # One query that all kernels ask: of each tile's key only its product with the query is needed, a single number.
        with full_precision(normed):
            product = queries * self.head_width**-0.5 @ weights[1].view(self.heads, self.head_width, -1)
        return KernelHeads(torch.ones_like(queries[..., :1]), keys, values, product[:, 0])

    def _heads(self, normed: Tensor, weights: Tensor) -> Tensor:
        """Queries, keys or values, whichever the weights make, shape (h, n, w), float32."""
        return linear(normed, weights).float().view(len(normed), self.heads, -1).transpose(0, 1)

    def _update(self, base: Tensor, attended: Tensor) -> Tensor:
        state = base + attended
        changed: Tensor = state + self.mlp(state)
        return changed


def _join_heads(attended: Tensor) -> Tensor:
    return attended.transpose(0, 1).flatten(1)
