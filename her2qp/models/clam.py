"""Attention pooling that also learns from single tiles: those that it reads most stand for the slide's class.

Lu et al., "Data-efficient and weakly supervised computational pathology on whole-slide images", Nature Biomedical
Engineering 2021: CLAM with a single attention branch. The slide is read exactly as by attention pooling. In training,
the tiles of highest and of lowest attention are taken for examples and counterexamples of the slide's class, and a
classifier of single tiles, one for each class, has to tell them apart.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import softplus

from her2qp.models.abmil import ABMIL, ABMILConfig
from her2qp.models.bag import BagBatch

_MARGIN = {"svm": 1.0, "ce": 0.0}


class CLAMConfig(ABMILConfig):
    """Hyperparameters of CLAM-SB; the defaults are those of the published code, under its names.

    Parameters
    ----------
    bag_weight
        Share of the slide's loss in what is trained for; the rest is the loss of single tiles.
    k_sample
        How many tiles at either end of the attention are taken. A slide of fewer than twice as many gives half its
        tiles to each end, and one of a single tile gives none.
    inst_loss
        Of single tiles: "svm", the smooth hinge loss, which asks for a margin of 1, or "ce", the cross-entropy, which
        the published code takes unless it is told otherwise.
    subtyping
        Classes exclude each other: the tiles of highest attention are also counterexamples of all other classes.
    """

    width: int = Field(default=512, ge=1, le=4096)
    gate_width: int = Field(default=256, ge=1, le=4096)
    bag_weight: float = Field(default=0.7, ge=0, le=1)
    k_sample: int = Field(default=8, ge=1, le=4096)
    inst_loss: Literal["svm", "ce"] = "svm"
    subtyping: bool = False


class CLAM(ABMIL):
    """Gated attention pooling with classifiers of single tiles, which only training asks.

    Parameters
    ----------
    config
        Hyperparameters.
    """

    architecture = "clam"
    _config: CLAMConfig

    def __init__(self, config: CLAMConfig) -> None:
        super().__init__(config)
        # Log-odds of each class: what two outputs of a classifier for each class can say, they say by their difference.
        self.instances = nn.Linear(config.width, config.classes)

    @property
    def config(self) -> CLAMConfig:
        """The hyperparameters."""
        return self._config

    def training_loss(self, batch: BagBatch, labels: Tensor) -> Tensor:
        """Cross-entropy of the slides, and the loss of single tiles, by the configured share."""
        tiles = self.embed(batch)
        logits, attention = self.classify_with_attention(tiles, batch)
        share = self.config.bag_weight
        of_tiles = self.instance_loss(tiles, attention, labels, batch)
        return share * self.loss(logits.float(), labels, batch) + (1 - share) * of_tiles

    def instance_loss(self, tiles: Tensor, attention: Tensor, labels: Tensor, batch: BagBatch) -> Tensor:
        """Loss of the tiles of highest and lowest attention as examples and counterexamples of the slide's class.

        Parameters
        ----------
        tiles, attention
            Embedded tiles (n, w), and how much each is read (n,); it chooses tiles and gets no gradient.
        labels
            Index of the class of each bag, shape (b,), int64.
        batch
            The bags.

        Returns
        -------
        Mean over the bags, a single tile's being 0; shape ().
        """
        parts = (torch.split(values, list(batch.tile_counts)) for values in (tiles, attention.detach()))
        return torch.stack([self._loss_of_bag(*bag) for bag in zip(*parts, labels, strict=True)]).mean()

    def _loss_of_bag(self, tiles: Tensor, attention: Tensor, label: Tensor) -> Tensor:
        config = self.config
        taken = min(config.k_sample, len(tiles) // 2)
        if not taken:
            return attention.new_zeros(())
        order = attention.argsort(descending=True)
        margin = _MARGIN[config.inst_loss]
        ends = self.instances(tiles[torch.cat([order[:taken], order[-taken:]])]).float()
        examples, counterexamples = ends[:taken], ends[taken:]
        own = softplus(margin - examples[:, label]).mean() + softplus(margin + counterexamples[:, label]).mean()
        if not config.subtyping:
            return own / 2
        refused = softplus(margin + examples).mean(dim=0)
        return (own / 2 + refused.sum() - refused[label]) / config.classes
