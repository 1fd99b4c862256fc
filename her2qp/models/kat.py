"""The kernel attention transformer.

Zheng et al., "Kernel attention transformer (KAT) for histopathology whole slide image classification", MICCAI 2022;
used for HER2 by Du et al., Breast Cancer Research 2025. Tiles never attend to each other: kernels that sit on anchors
gather from the tiles around them, hand back to them, and are all that the class token reads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from her2qp.models.anchors import AnchorConfig, place_anchors
from her2qp.models.attention import KernelReading, Readout, read_out
from her2qp.models.bag import Bag, BagBatch
from her2qp.models.heads import make_head
from her2qp.models.kernel_attention import GaussianAttention, MaskMode
from her2qp.models.kernel_block import KernelAttentionBlock, Tokens
from her2qp.models.model import Model, ModelConfig
from her2qp.models.neighbourhoods import Layout, lay_out


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
        sizes = (config.width, config.heads, config.head_width, config.mlp_width)
        self.blocks = nn.ModuleList(
            KernelAttentionBlock(*sizes, config.dropout, config.residual) for _ in range(config.depth)
        )
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
        """Embed features (n, d) as tile tokens (n, w)."""
        return torch.as_tensor(self.embedding(features))

    def classify(self, tiles: Tensor, batch: BagBatch) -> Tensor:
        """Logits (b, c) from tile tokens (n, w)."""
        return self._run(tiles, batch, lay_out(batch))[0]

    def classify_with_attention(self, tiles: Tensor, batch: BagBatch) -> tuple[Tensor, Tensor]:
        """Logits (b, c), and attention (n,) by the configured read-out."""
        layout = lay_out(batch)
        logits, readings, exits = self._run(tiles, batch, layout)
        return logits, read_out(self.config.readout, readings, exits, batch, layout)

    def _run(self, tiles: Tensor, batch: BagBatch, layout: Layout) -> tuple[Tensor, list[KernelReading], list[Tensor]]:
        # Kernels are all the same until they have read something, and are kept as one until then.
        tokens = Tokens(tiles[layout.order], self.kernel_token[None], self.class_token.expand(len(batch), -1))
        readings, exits = [], []
        bags = batch.bag_of_anchor
        *blocks, last = (cast(KernelAttentionBlock, block) for block in self.blocks)
        for level, block in enumerate(blocks):
            attention = GaussianAttention(self.config.anchors.area_um2 * 2**level, self.config.mask_mode)
            tokens, reading, weights = block(tokens, layout, bags, attention, tiles_go_on=block is not blocks[-1])
            readings.append(reading)
            exits.append(weights)
        class_tokens, weights = last.conclude(tokens, bags)
        return self.head(class_tokens), readings, [*exits, weights]
