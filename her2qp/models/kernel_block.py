"""One block of the kernel attention transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from her2qp.models.attention import KernelReading
from her2qp.models.dropout import Dropout
from her2qp.models.kernel_attention import Gathered, GaussianAttention, merge
from her2qp.models.memory import TILES_A_STEP, run_step
from her2qp.models.neighbourhoods import Layout, Neighbourhood, sizes
from her2qp.models.pooling import segment_softmax, segment_sums
from her2qp.models.precision import full_precision


class Tokens(NamedTuple):
    """States of the three kinds of token: tiles (n, w), kernels (k, w) or (1, w) while all are alike, class (b, w)."""

    tiles: Tensor
    kernels: Tensor
    class_tokens: Tensor


class KernelHeads(NamedTuple):
    """Queries, keys and values of the kernels, each (h, k, w) or (h, 1, w)."""

    queries: Tensor
    keys: Tensor
    values: Tensor


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
            Whether a later block reads the tiles; if not, they are returned as they are.

        Returns
        -------
        The tokens, what the kernels read from the tiles, and what the class tokens read from the kernels.
        """
        kernels = self.norm(tokens.kernels)
        heads = KernelHeads(*(self._heads(kernels, part) for part in range(3)))
        updated: list[Tensor] = []
        parts: list[Gathered] = []
        runs = layout.steps(TILES_A_STEP)
        for tiles, pieces in zip(torch.split(tokens.tiles, [sum(sizes(run)) for run in runs]), runs, strict=True):
            arguments = (tiles, pieces, heads, attention, tiles_go_on)
            step = run_step(self._step, *arguments, tiles=len(tokens.tiles))
            updated.append(step[0])
            parts += step[1]
        attended, log_mass = merge(layout.pieces, parts, len(bag_of_kernel))
        class_tokens, weights = self._read_kernels(tokens.class_tokens, heads, bag_of_kernel)
        base = kernels if self.residual == "normed" else tokens.kernels
        new_tokens = Tokens(torch.cat(updated), self._update(base, self.out(_join_heads(attended))), class_tokens)

        def keys(tiles: slice) -> Tensor:
            return self._heads(self.norm(tokens.tiles[tiles]), 1)

        return new_tokens, KernelReading(heads.queries, keys, log_mass, attention), weights

    def conclude(self, tokens: Tokens, bag_of_kernel: Tensor) -> tuple[Tensor, Tensor]:
        """Update the class tokens only: what else the last block would do reaches no logit."""
        kernels = self.norm(tokens.kernels)
        heads = KernelHeads(*(self._heads(kernels, part) for part in range(3)))
        return self._read_kernels(tokens.class_tokens, heads, bag_of_kernel)

    def _step(
        self,
        tiles: Tensor,
        pieces: Sequence[Neighbourhood],
        kernels: KernelHeads,
        attention: GaussianAttention,
        tiles_go_on: bool,
    ) -> tuple[Tensor, list[Gathered]]:
        normed = self.norm(tiles)
        keys, values = (torch.split(self._heads(normed, part), sizes(pieces), dim=1) for part in (1, 2))
        with full_precision(tiles):
            parts = [
                attention.gather(piece, kernels.queries, *read)
                for piece, *read in zip(pieces, keys, values, strict=True)
            ]
        if not tiles_go_on:
            return tiles, parts
        base = normed if self.residual == "normed" else tiles
        if kernels.values.shape[1] == 1:
            # Kernels that are all the same give every tile the same, but for how near they are.
            shares = torch.cat([attention.share_of_one(piece) for piece in pieces])
            projection, dropout = cast(tuple[nn.Linear, Dropout], tuple(self.out))
            common = linear(_join_heads(kernels.values), projection.weight)
            return self._update(base, dropout(shares[:, None] * common + projection.bias)), parts
        queries = torch.split(self._heads(normed, 0), sizes(pieces), dim=1)
        with full_precision(tiles):
            received = [
                attention.receive(piece, asking, kernels.keys, kernels.values)
                for piece, asking in zip(pieces, queries, strict=True)
            ]
        return self._update(base, self.out(_join_heads(torch.cat(received, dim=1)))), parts

    def _read_kernels(self, class_tokens: Tensor, kernels: KernelHeads, bag_of_kernel: Tensor) -> tuple[Tensor, Tensor]:
        normed = self.norm(class_tokens)
        queries = self._heads(normed, 0)[:, bag_of_kernel]
        scores = (queries * kernels.keys).sum(dim=-1) * queries.shape[-1] ** -0.5
        weights = segment_softmax(scores.mT, bag_of_kernel, len(class_tokens))
        read = segment_sums(weights[..., None] * kernels.values.transpose(0, 1), bag_of_kernel, len(class_tokens))
        base = normed if self.residual == "normed" else class_tokens
        return self._update(base, self.out(read.flatten(1))), weights.mean(dim=1)

    def _heads(self, normed: Tensor, part: int) -> Tensor:
        """Queries (part 0), keys (1) or values (2), shape (h, n, w), float32."""
        projected = linear(normed, self.qkv.weight.chunk(3)[part])
        return projected.float().view(len(normed), self.heads, -1).transpose(0, 1)

    def _update(self, base: Tensor, attended: Tensor) -> Tensor:
        state = base + attended
        changed: Tensor = state + self.mlp(state)
        return changed


def _join_heads(attended: Tensor) -> Tensor:
    return attended.transpose(0, 1).flatten(1)
