"""Mean pooling: the mean of the tiles' standardised features, and a head on it.

With the categorical head this is multinomial logistic regression on the mean feature vector of a slide: the least that
a model with attention has to beat.
"""

from __future__ import annotations

from torch import Tensor

from her2qp.models.bag import BagBatch
from her2qp.models.heads import make_head
from her2qp.models.model import Model, ModelConfig
from her2qp.models.pooling import bag_sums, uniform


class MeanPoolConfig(ModelConfig):
    """Mean pooling has no hyperparameters of its own."""


class MeanPool(Model):
    """Logits = head(mean of the standardised features); every tile of a bag is read alike.

    Parameters
    ----------
    config
        Hyperparameters.
    """

    architecture = "meanpool"

    def __init__(self, config: MeanPoolConfig) -> None:
        super().__init__(config)
        self._config = config
        self.head = make_head(config.head, config.dimension, config.classes)

    @property
    def config(self) -> MeanPoolConfig:
        """The hyperparameters."""
        return self._config

    def embed_standardised(self, features: Tensor) -> Tensor:
        """The standardised features themselves, (n, d)."""
        return features

    def classify(self, tiles: Tensor, batch: BagBatch) -> Tensor:
        """Logits (b, c) from the features (n, d)."""
        return self.classify_with_attention(tiles, batch)[0]

    def classify_with_attention(self, tiles: Tensor, batch: BagBatch) -> tuple[Tensor, Tensor]:
        """Logits (b, c), and the same weight for all tiles of a bag, (n,)."""
        attention = uniform(batch)
        logits: Tensor = self.head(bag_sums(tiles * attention[:, None], batch))
        return logits, attention
