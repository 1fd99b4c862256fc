"""Several models of one architecture that judge together: the mean of their calibrated probabilities.

Models of cross-validation folds have learnt from different patients. Their mean is steadier than any of them, and one
bundle holds them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Self, cast

import torch
from pydantic import Field, JsonValue
from torch import Tensor, nn

from her2qp.models.bag import Bag, BagBatch
from her2qp.models.model import Model, ModelConfig


class EnsembleConfig(ModelConfig):
    """Hyperparameters of an ensemble.

    Parameters
    ----------
    architecture, hyperparameters
        Of every member.
    temperatures
        One a member: its logits are divided by it before the mean.
    """

    architecture: str
    hyperparameters: dict[str, JsonValue]
    temperatures: tuple[Annotated[float, Field(ge=1e-3, le=1e3)], ...] = Field(min_length=1, max_length=1000)


class Ensemble(Model):
    """The mean of the calibrated probabilities of its members, and of their attention.

    Its logits are the logarithm of that mean. Each member standardises the features by what it learnt from.

    Parameters
    ----------
    config
        Hyperparameters.
    members
        As many as there are temperatures.
    """

    architecture = "ensemble"

    def __init__(self, config: EnsembleConfig, members: Sequence[Model]) -> None:
        super().__init__(config)
        self._config = config
        self.members = nn.ModuleList(members)

    @classmethod
    def of(cls, members: Sequence[Model], temperatures: Sequence[float]) -> Self:
        """Make an ensemble of trained models with the same hyperparameters."""
        first = members[0]
        config = EnsembleConfig(
            dimension=first.config.dimension,
            classes=first.config.classes,
            architecture=first.architecture,
            hyperparameters=first.config.model_dump(mode="json"),
            temperatures=tuple(temperatures),
        )
        return cls(config, members)

    @property
    def config(self) -> EnsembleConfig:
        """The hyperparameters."""
        return self._config

    def prepare(self, bag: Bag) -> Bag:
        """Add to a bag what the members need; as they have the same hyperparameters, that is the same for all."""
        return self._models[0].prepare(super().prepare(bag))

    def collate(self, bags: Sequence[Bag]) -> BagBatch:
        """Make a batch as the members do."""
        return self._models[0].collate([self.prepare(bag) for bag in bags])

    def embed_standardised(self, features: Tensor) -> Tensor:
        """Embed features by every member, side by side: shape (…, members * w)."""
        return torch.cat(
            [model.embed_standardised((features - model.feature_mean) / model.feature_std) for model in self._models],
            dim=-1,
        )

    def classify(self, tiles: Tensor, batch: BagBatch) -> Tensor:
        """Logarithm of the mean probabilities (b, c)."""
        parts = zip(self._models, self._shares(tiles), strict=True)
        return self._together([model.classify(share, batch) for model, share in parts])

    def classify_with_attention(self, tiles: Tensor, batch: BagBatch) -> tuple[Tensor, Tensor]:
        """Logarithm of the mean probabilities (b, c), and the mean attention."""
        parts = zip(self._models, self._shares(tiles), strict=True)
        logits, attention = zip(*(model.classify_with_attention(share, batch) for model, share in parts), strict=True)
        return self._together(logits), torch.stack(attention).mean(dim=0)

    @property
    def _models(self) -> list[Model]:
        return [cast(Model, member) for member in self.members]

    def _shares(self, tiles: Tensor) -> tuple[Tensor, ...]:
        return tiles.chunk(len(self.members), dim=-1)

    def _together(self, logits: Sequence[Tensor]) -> Tensor:
        calibrated = zip(logits, self._config.temperatures, strict=True)
        each = torch.stack([torch.log_softmax(logit / temperature, dim=-1) for logit, temperature in calibrated])
        return each.logsumexp(dim=0) - math.log(len(each))
