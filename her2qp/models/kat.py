"""The kernel attention transformer.

Zheng et al., "Kernel attention transformer (KAT) for histopathology whole slide image classification", MICCAI 2022;
used for HER2 by Du et al., Breast Cancer Research 2025. Tiles never attend to each other: kernels that sit on anchors
gather from the tiles around them, hand back to them, and are all that the class token reads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from her2qp.models.anchors import AnchorConfig, place_anchors
from her2qp.models.attention import KernelReading, Readout, read_out
from her2qp.models.bag import Bag, BagBatch
from her2qp.models.contrast import KernelContrast, thinned
from her2qp.models.dropout import Dropout
from her2qp.models.heads import make_head
from her2qp.models.kernel_attention import GaussianAttention, MaskMode
from her2qp.models.kernel_block import KernelAttentionBlock, Tokens
from her2qp.models.model import Model, ModelConfig
from her2qp.models.neighbourhoods import Layout, lay_out
from her2qp.models.precision import full_precision


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
    contrast
        Weight of the kernel contrastive term beside the cross-entropy in training, published as 0.1; 0: none. It takes
        two more passes a step, and a bundle more than twice as large. See :mod:`her2qp.models.contrast`.
    contrast_drop, contrast_momentum
        At most so many of the tiles are dropped from a view; how slowly the model that sees the other view follows.
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
    contrast: float = Field(default=0.0, ge=0, le=1e3)
    contrast_drop: float = Field(default=0.6, ge=0, lt=1)
    contrast_momentum: float = Field(default=0.99, ge=0, lt=1)
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
        self.embedding = nn.Sequential(nn.Linear(config.dimension, config.width), Dropout(config.embedding_dropout))
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
        self.contrast = self._make_contrast() if config.contrast else None

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
        # Of all blocks but the last, what was read is forgotten: it holds their tiles.
        ((tokens, *_),) = deque(self._blocks(tiles, batch, lay_out(batch)), maxlen=1)
        return self._conclude(tokens, batch)[0]

    def classify_with_attention(self, tiles: Tensor, batch: BagBatch) -> tuple[Tensor, Tensor]:
        """Logits (b, c), and attention (n,) by the configured read-out."""
        layout = lay_out(batch)
        tokens, readings, exits = zip(*self._blocks(tiles, batch, layout), strict=True)
        logits, last_exit = self._conclude(tokens[-1], batch)
        with full_precision(tiles):
            return logits, read_out(self.config.readout, readings, [*exits, last_exit], batch, layout)

    def loss(self, logits: Tensor, labels: Tensor, batch: BagBatch) -> Tensor:
        """Cross-entropy, and in training the kernel contrastive term of two thinned views, if there is one."""
        loss = super().loss(logits, labels, batch)
        if self.contrast is None or not self.training:
            return loss
        self.contrast.follow(self)
        states = self.kernel_states(thinned(batch, self.config.contrast_drop))
        with torch.no_grad():
            wanted = cast(KAT, self.contrast.follower).kernel_states(thinned(batch, self.config.contrast_drop))
        return loss + self.config.contrast * self.contrast.distance(states, wanted)

    def kernel_states(self, batch: BagBatch) -> Tensor:
        """States of the kernels after all blocks but the last, one below the other, shape ((depth - 1) k, w)."""
        layout = lay_out(batch)
        return torch.cat([tokens.kernels for tokens, *_ in self._blocks(self.embed(batch), batch, layout)])

    def _make_contrast(self) -> KernelContrast:
        follower = KAT(self.config.model_copy(update={"contrast": 0.0}))
        follower.load_state_dict(self.state_dict())
        return KernelContrast(follower, self.config.width, self.config.dropout, self.config.contrast_momentum)

    def _conclude(self, tokens: Tokens, batch: BagBatch) -> tuple[Tensor, Tensor]:
        """Logits, and what the class tokens of the last block read from the kernels."""
        class_tokens, weights = cast(KernelAttentionBlock, self.blocks[-1]).conclude(tokens, batch.bag_of_anchor)
        return self.head(class_tokens), weights

    def _blocks(self, tiles: Tensor, batch: BagBatch, layout: Layout) -> Iterator[tuple[Tokens, KernelReading, Tensor]]:
        """What each block but the last makes of the tokens, and what was read in it."""
        # Kernels are all the same until they have read something, and are kept as one until then.
        tokens = Tokens(layout.split(tiles), self.kernel_token[None], self.class_token.expand(len(batch), -1))
        bags = batch.bag_of_anchor
        *blocks, _ = (cast(KernelAttentionBlock, block) for block in self.blocks)
        for level, block in enumerate(blocks):
            attention = GaussianAttention(self.config.anchors.area_um2 * 2**level, self.config.mask_mode)
            tokens, reading, weights = block(tokens, layout, bags, attention, tiles_go_on=block is not blocks[-1])
            yield tokens, reading, weights
