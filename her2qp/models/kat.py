"""The kernel attention transformer.

Zheng et al., "Kernel attention transformer (KAT) for histopathology whole slide image classification", MICCAI 2022;
used for HER2 by Du et al., Breast Cancer Research 2025. Tiles never attend to each other: kernels that sit on anchors
gather from the tiles around them, hand back to them, and are all that the class token reads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from her2qp.models.anchors import AnchorConfig, place_anchors
from her2qp.models.attention import Exit, KernelReading, Readout, read_out
from her2qp.models.bag import Bag, BagBatch
from her2qp.models.gaussian_attention import MaskMode, Places, attend
from her2qp.models.heads import make_head
from her2qp.models.model import Model, ModelConfig


class KATConfig(ModelConfig):
    """Hyperparameters of a KAT. The defaults are those of the published code; :meth:`faithful` also places anchors so.

    Parameters
    ----------
    depth, width, heads, head_width, mlp_width
        Of the transformer. The first block's kernels have read nothing yet, so at least two are needed.
    dropout, embedding_dropout
        After attention and in the feed-forward networks; after the embedding.
    residual
        What a block adds its attention to: "normed", the layer-normalised tokens, as in the published code; "pre",
        the tokens themselves, the usual pre-norm transformer.
    mask_mode
        "multiply": the Gaussian after the softmax, not renormalised, as published: the signal of a kernel then
        depends on the size of the slide. "bias": inside the softmax.
    readout
        Which attention is shown; see :mod:`her2qp.models.attention`.
    anchors
        Where kernels sit. The Gaussian of block l has σ² = ``anchors.area_um2 * 2**l``.
    """

    depth: int = Field(default=4, ge=2, le=64)
    width: int = Field(default=256, ge=1, le=4096)
    heads: int = Field(default=8, ge=1, le=64)
    head_width: int = Field(default=64, ge=1, le=1024)
    mlp_width: int = Field(default=512, ge=1, le=16384)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1)
    residual: Literal["normed", "pre"] = "normed"
    mask_mode: MaskMode = "multiply"
    readout: Readout = "two_hop"
    anchors: AnchorConfig = AnchorConfig()

    @classmethod
    def faithful(cls, dimension: int, classes: int = 4) -> KATConfig:
        """The published model, its duplicate anchors included."""
        anchors = AnchorConfig(duplicates="keep", starts=10)
        return cls(dimension=dimension, classes=classes, anchors=anchors)

    @classmethod
    def corrected(cls, dimension: int, classes: int = 4) -> KATConfig:
        """The published sizes as a regular pre-norm transformer with a proper Gaussian prior."""
        return cls(dimension=dimension, classes=classes, residual="pre", mask_mode="bias")


class Tokens(NamedTuple):
    """States of the three kinds of token: tiles (b, n, w), kernels (b, k, w), the class token (b, 1, w)."""

    tiles: Tensor
    kernels: Tensor
    class_token: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """Places of the two masked attentions of a block: kernels gather from tiles, tiles receive from kernels."""

    gather: Places
    receive: Places

    @classmethod
    def of(cls, batch: BagBatch, variance_um2: float, mode: MaskMode) -> Flows:
        """The flows of a batch at one scale."""
        tiles, anchors = batch.positions_um, batch.anchors_um
        return cls(
            gather=Places(anchors, tiles, batch.tile_mask, variance_um2, mode),
            receive=Places(tiles, anchors, batch.anchor_mask, variance_um2, mode),
        )


class KernelAttentionBlock(nn.Module):
    """One block; its norm, projections and feed-forward network are shared by the three kinds of token.

    All three updates read the states before the block.
    """

    def __init__(self, config: KATConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.residual = config.residual
        self.norm = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * inner, bias=False)
        self.out = nn.Sequential(nn.Linear(inner, config.width), nn.Dropout(config.dropout))
        self.mlp = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, config.mlp_width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.mlp_width, config.width),
            nn.Dropout(config.dropout),
        )

    def forward(self, tokens: Tokens, flows: Flows) -> tuple[Tokens, KernelReading, Exit]:
        """Update all tokens; also what the kernels read from the tiles and the class token from the kernels."""
        normed = Tokens(*map(self.norm, tokens))
        tile_q, tile_k, tile_v = self._project(normed.tiles)
        kernel_q, kernel_k, kernel_v = self._project(normed.kernels)
        base = normed if self.residual == "normed" else tokens
        tiles = self._update(base.tiles, attend(tile_q, kernel_k, kernel_v, flows.receive))
        kernels = self._update(base.kernels, attend(kernel_q, tile_k, tile_v, flows.gather))
        reading = KernelReading(kernel_q, tile_k, flows.gather)
        weights = self._class_weights(normed.class_token, kernel_k, flows.receive.key_mask)
        class_token = self._update(base.class_token, weights @ kernel_v)
        return Tokens(tiles, kernels, class_token), reading, Exit(weights)

    def conclude(self, tokens: Tokens, kernel_mask: Tensor) -> tuple[Tensor, Exit]:
        """Update the class token only: what else the last block would do reaches no logit."""
        kernels, class_token = self.norm(tokens.kernels), self.norm(tokens.class_token)
        _, kernel_k, kernel_v = self._project(kernels)
        weights = self._class_weights(class_token, kernel_k, kernel_mask)
        base = class_token if self.residual == "normed" else tokens.class_token
        return self._update(base, weights @ kernel_v), Exit(weights)

    def _class_weights(self, class_token: Tensor, kernel_keys: Tensor, kernel_mask: Tensor) -> Tensor:
        query, _, _ = self._project(class_token)
        scores = query @ kernel_keys.transpose(-1, -2) * query.shape[-1] ** -0.5
        return torch.softmax(scores.masked_fill(~kernel_mask[:, None, None, :], -torch.inf), dim=-1)

    def _project(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, count, _ = normed.shape
        query, key, value = self.qkv(normed).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return query, key, value

    def _update(self, base: Tensor, attended: Tensor) -> Tensor:
        state = base + self.out(attended.transpose(1, 2).flatten(2))
        changed: Tensor = state + self.mlp(state)
        return changed


class KAT(Model):
    """Kernel attention transformer.

    Parameters
    ----------
    config
        Hyperparameters.
    """

    architecture = "kat"

    def __init__(self, config: KATConfig) -> None:
        super().__init__(config)
        self._config = config
        self.embedding = nn.Sequential(nn.Linear(config.dimension, config.width), nn.Dropout(config.embedding_dropout))
        self.class_token = nn.Parameter(torch.empty(config.width))
        self.kernel_token = nn.Parameter(torch.empty(config.width))
        if not self.class_token.is_meta:  # drawing there costs a second of imports, for values that a file replaces
            nn.init.normal_(self.class_token)
            nn.init.normal_(self.kernel_token)
        self.blocks = nn.ModuleList(KernelAttentionBlock(config) for _ in range(config.depth))
        head = make_head(config.head, config.width, config.classes)
        self.head = nn.Sequential(nn.LayerNorm(config.width), head)

    @property
    def config(self) -> KATConfig:
        """The hyperparameters."""
        return self._config

    def prepare(self, bag: Bag) -> Bag:
        """Place the anchors of a bag that has none yet."""
        bag = super().prepare(bag)
        if bag.anchors_um is not None:
            return bag
        return replace(bag, anchors_um=place_anchors(bag.positions_um, bag.tile_um, self.config.anchors))

    def embed_standardised(self, features: Tensor) -> Tensor:
        """Embed features (b, n, d) as tile tokens (b, n, w)."""
        return torch.as_tensor(self.embedding(features))

    def classify(self, tiles: Tensor, batch: BagBatch) -> Tensor:
        """Logits (b, c) from tile tokens (b, n, w)."""
        return self._run(tiles, batch)[0]

    def classify_with_attention(self, tiles: Tensor, batch: BagBatch) -> tuple[Tensor, Tensor]:
        """Logits (b, c), and attention (b, n) by the configured read-out."""
        logits, readings, exits = self._run(tiles, batch)
        return logits, read_out(self.config.readout, readings, exits)

    def _run(self, tiles: Tensor, batch: BagBatch) -> tuple[Tensor, list[KernelReading], list[Exit]]:
        count, kernels = batch.anchor_mask.shape
        tokens = Tokens(tiles, self.kernel_token.expand(count, kernels, -1), self.class_token.expand(count, 1, -1))
        readings, exits = [], []
        *blocks, last = (cast(KernelAttentionBlock, block) for block in self.blocks)
        for level, block in enumerate(blocks):
            variance = self.config.anchors.area_um2 * 2**level
            tokens, reading, exit_ = block(tokens, Flows.of(batch, variance, self.config.mask_mode))
            readings.append(reading)
            exits.append(exit_)
        class_token, exit_ = last.conclude(tokens, batch.anchor_mask)
        return self.head(class_token[:, 0]), readings, [*exits, exit_]
