"""Attention pooling: the weighted mean of the tiles, weights by a gated network.

Ilse, Tomczak, Welling, "Attention-based deep multiple instance learning", ICML 2018. It knows nothing of where tiles
lie, and each tile's weight depends on the others only through the softmax.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from her2qp.models.bag import BagBatch
from her2qp.models.dropout import Dropout
from her2qp.models.heads import make_head
from her2qp.models.model import Model, ModelConfig
from her2qp.models.pooling import bag_softmax, bag_sums


class ABMILConfig(ModelConfig):
    """Hyperparameters of attention pooling.

    Parameters
    ----------
    width
        Of the tile embedding.
    gate_width
        Of the two branches that weigh a tile.
    dropout
        After the embedding and in both branches.
    """

    width: int = Field(default=256, ge=1, le=4096)
    gate_width: int = Field(default=128, ge=1, le=4096)
    dropout: float = Field(default=0.25, ge=0, lt=1)


class ABMIL(Model):
    """Gated attention pooling: a_j ∝ exp(wᵀ(tanh(V h_j) ⊙ σ(U h_j))), logits = head(Σ_j a_j h_j).

    Parameters
    ----------
    config
        Hyperparameters.
    """

    architecture = "abmil"

    def __init__(self, config: ABMILConfig) -> None:
        super().__init__(config)
        self._config = config
        self.embedding = nn.Sequential(nn.Linear(config.dimension, config.width), nn.ReLU(), Dropout(config.dropout))
        self.content = nn.Sequential(nn.Linear(config.width, config.gate_width), nn.Tanh(), Dropout(config.dropout))
        self.gate = nn.Sequential(nn.Linear(config.width, config.gate_width), nn.Sigmoid(), Dropout(config.dropout))
        self.score = nn.Linear(config.gate_width, 1)
        self.head = make_head(config.head, config.width, config.classes)

    @property
    def config(self) -> ABMILConfig:
        """The hyperparameters."""
        return self._config

    def embed_standardised(self, features: Tensor) -> Tensor:
        """Embed features (n, d) as (n, w)."""
        return torch.as_tensor(self.embedding(features))

    def classify(self, tiles: Tensor, batch: BagBatch) -> Tensor:
        """Logits (b, c) from embedded tiles (n, w)."""
        return self.classify_with_attention(tiles, batch)[0]

    def classify_with_attention(self, tiles: Tensor, batch: BagBatch) -> tuple[Tensor, Tensor]:
        """Logits (b, c), and the pooling weights (n,)."""
        attention = bag_softmax(self.score(self.content(tiles) * self.gate(tiles))[:, 0], batch)
        logits: Tensor = self.head(bag_sums(attention[:, None] * tiles, batch))
        return logits, attention
