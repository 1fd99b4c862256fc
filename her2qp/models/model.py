"""What every slide model has in common: from a batch of bags to logits, attention and class evidence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from her2qp.errors import ModelError
from her2qp.models.bag import Bag, BagBatch, collate, singletons
from her2qp.models.heads import HeadKind
from her2qp.models.steps import TILES_A_STEP, in_steps

SINGLETONS_AT_ONCE = 1024
"""Tiles that go through a model together when each is judged by itself."""


TILES_TOGETHER = 8192
"""Tiles at most of the bags that are judged together, unless one of them has more."""


class ModelConfig(BaseModel):
    """Hyperparameters that every model has; the bounds keep a damaged file from asking for absurd amounts of memory.

    Parameters
    ----------
    dimension
        Length of a feature vector.
    classes
        Number of classes.
    head
        How classes follow from what was read; see :mod:`her2qp.models.heads`. "corn" and "cumulative" take the
        classes to be ordered from low to high, "binary" takes two.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dimension: int = Field(ge=1, le=16384)
    classes: int = Field(ge=2, le=1000)
    head: HeadKind = "categorical"

    @model_validator(mode="after")
    def _head_fits(self) -> Self:
        if self.head == "binary" and self.classes != 2:
            raise ValueError(f"a binary head tells two classes apart, not {self.classes}")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What a model says of one bag, and where it says it from.

    Parameters
    ----------
    probabilities
        Of the classes, shape (c,), float32, sum 1.
    attention
        How much each tile is read, whatever it speaks for: shape (n,), float32, at least 0, sum 1.
    evidence
        Gradient times input on the embedded tiles: to first order what each tile adds to the logit of each class;
        shape (n, c), float32, signed.
    """

    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    evidence: NDArray[np.float32]


class Model(nn.Module, ABC):
    """A slide model.

    Features are standardised by `feature_mean` and `feature_std` (buffers, saved with the weights; 0 and 1 unless
    :meth:`standardise` is called), embedded tile by tile, and read into one row of logits a bag.
    """

    architecture: ClassVar[str]
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(config.dimension))
        self.register_buffer("feature_std", torch.ones(config.dimension))

    @property
    @abstractmethod
    def config(self) -> ModelConfig:
        """The hyperparameters."""

    @abstractmethod
    def embed_standardised(self, features: Tensor) -> Tensor:
        """Embed standardised features (n, d) tile by tile as (n, w)."""

    @abstractmethod
    def classify(self, tiles: Tensor, batch: BagBatch) -> Tensor:
        """Logits (b, c) from the embedded tiles (n, w) of a batch."""

    @abstractmethod
    def classify_with_attention(self, tiles: Tensor, batch: BagBatch) -> tuple[Tensor, Tensor]:
        """Logits (b, c), and attention (n,), at least 0, that sums to 1 over each bag."""

    def embed(self, batch: BagBatch) -> Tensor:
        """Standardise and embed the features of a batch, shape (n, w)."""
        parts = torch.split(batch.features, TILES_A_STEP)
        return torch.cat([embedded for (embedded,) in in_steps(self, [self._embed_part] * len(parts), parts)])

    def _embed_part(self, features: Tensor) -> tuple[Tensor]:
        return (self.embed_standardised((features - self.feature_mean).div_(self.feature_std)),)

    def forward(self, batch: BagBatch) -> Tensor:
        """Logits of a batch, shape (b, c)."""
        return self.classify(self.embed(batch), batch)

    def training_loss(self, batch: BagBatch, labels: Tensor) -> Tensor:
        """What training lowers: the loss of what :meth:`forward` says, unless a model also learns from single tiles.

        Parameters
        ----------
        batch
            The bags.
        labels
            Index of the class of each bag, shape (b,), int64.

        Returns
        -------
        A mean over the bags, shape ().
        """
        return self.loss(self(batch).float(), labels, batch)

    def loss(self, logits: Tensor, labels: Tensor, batch: BagBatch) -> Tensor:
        """Loss of logits; cross-entropy, unless a model adds to it.

        Parameters
        ----------
        logits
            What :meth:`forward` has just said of the batch, shape (b, c).
        labels
            Index of the class of each bag, shape (b,), int64.
        batch
            The bags.

        Returns
        -------
        A mean over the bags, shape ().
        """
        return cross_entropy(logits, labels)

    def evidence(self, batch: BagBatch) -> Tensor:
        """Gradient of each logit times input, summed over the embedding of each tile.

        Attention tells where a model looks, not what for; this is class by class and has a sign.

        Returns
        -------
        Shape (n, c).
        """
        tiles = self.embed(batch).detach().requires_grad_()
        columns = []
        with torch.enable_grad(), frozen(self):
            for logit in self.classify(tiles, batch).sum(dim=0):
                tiles.grad = None
                logit.backward(retain_graph=True)
                columns.append((torch.as_tensor(tiles.grad) * tiles.detach()).sum(dim=-1))
        return torch.stack(columns, dim=-1)

    def prepare(self, bag: Bag) -> Bag:
        """Add to a bag what the model needs once for each bag, and check that it fits.

        Raises
        ------
        ModelError
            The features have another dimension than the model's.
        """
        if bag.dimension != self.config.dimension:
            raise ModelError(
                f"the features have {bag.dimension} dimensions, the model takes {self.config.dimension}",
                where=bag.name,
                remedy="Use features of the extractor that the model was trained with.",
            )
        return bag

    def collate(self, bags: Sequence[Bag]) -> BagBatch:
        """Prepare bags and make a batch of them, on the model's device."""
        return collate([self.prepare(bag) for bag in bags]).to(self.feature_mean.device)

    def standardise(self, bags: Sequence[Bag]) -> None:
        """Take the mean and spread of the features from the tiles of all these bags, one bag at a time.

        The spread of a feature that never varies is taken for 1: it carries nothing, and must not explode elsewhere.
        """
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        for bag in bags:
            scaler.partial_fit(bag.features)
        self.feature_mean.copy_(torch.from_numpy(scaler.mean_))
        self.feature_std.copy_(torch.from_numpy(scaler.scale_))

    @torch.no_grad()
    def judge(self, bag: Bag) -> tuple[Tensor, Tensor]:
        """Logits (c,) and attention (n,) of one bag, without dropout.

        Raises
        ------
        ModelError
            The features have another dimension than the model's, or are so large that the result is not a number.
        """
        with evaluating(self):
            batch = self.collate([bag])
            logits, attention = self.classify_with_attention(self.embed(batch), batch)
        if not (logits.isfinite().all() and attention.isfinite().all()):
            raise ModelError(
                "the model's result is not a number",
                where=bag.name,
                remedy="The features are far from what the model was trained on; extract them again.",
            )
        return logits[0].cpu(), attention.cpu()

    @torch.no_grad()
    def logits(self, bags: Sequence[Bag]) -> Tensor:
        """Logits (b, c) of several bags, without dropout; faster than one by one, and without their attention.

        Raises
        ------
        ModelError
            The features have another dimension than the model's.
        """
        with evaluating(self):
            return torch.cat([self(self.collate(together)).float().cpu() for together in _handfuls(bags)])

    @torch.no_grad()
    def judge_tiles(self, features: NDArray[np.float32]) -> Tensor:
        """Logits of each tile by itself: of the bag that holds only this tile.

        Parameters
        ----------
        features
            Shape (n, d), float32.

        Returns
        -------
        Shape (n, c).
        """
        device = self.feature_mean.device
        with evaluating(self):
            parts = [
                self(singletons(features[start : start + SINGLETONS_AT_ONCE]).to(device)).cpu()
                for start in range(0, len(features), SINGLETONS_AT_ONCE)
            ]
        return torch.cat(parts) if parts else torch.empty(0, self.config.classes)

    def explain(self, bag: Bag) -> Explanation:
        """Probabilities, attention and class evidence of one bag.

        Raises
        ------
        ModelError
            The features have another dimension than the model's.
        """
        logits, attention = self.judge(bag)
        with evaluating(self):
            evidence = self.evidence(self.collate([bag])).cpu()
        return Explanation(logits.softmax(dim=0).numpy(), attention.numpy(), evidence.numpy())


def _handfuls(bags: Sequence[Bag]) -> Iterator[Sequence[Bag]]:
    """As many bags at a time as have few enough tiles together, at least one."""
    start, tiles = 0, 0
    for stop, bag in enumerate(bags):
        if stop > start and tiles + len(bag) > TILES_TOGETHER:
            yield bags[start:stop]
            start, tiles = stop, 0
        tiles += len(bag)
    yield bags[start:]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off, and back to what it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Compute no gradients of the weights."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_()
