"""Fit a slide model to labelled bags: cross-entropy, AdamW, early stopping on a validation set."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from her2qp.errors import ModelError
from her2qp.models.bag import Bag
from her2qp.models.model import Model, evaluating


class FitSettings(BaseModel):
    """How to fit.

    Parameters
    ----------
    epochs
        At most so many passes; an epoch draws as many bags as there are.
    learning_rate, weight_decay
        Of AdamW.
    batch_size
        Bags a step.
    patience
        Epochs without a better validation loss after which training stops.
    balanced
        Draw each class equally often, with replacement; else each bag once. Drawing evenly shifts the predicted
        probabilities towards rare classes.
    standardise
        Take mean and spread of the features from the training bags into the model.
    seed
        Of the order of the bags and of dropout. Initial weights are those that the model comes with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=200, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=32, ge=1)
    patience: int = Field(default=20, ge=1)
    balanced: bool = True
    standardise: bool = True
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True)
class Examples:
    """Bags and the index of each one's class.

    Raises
    ------
    ModelError
        There is none, or there are not as many labels as bags.
    """

    bags: Sequence[Bag]
    labels: Sequence[int]

    def __post_init__(self) -> None:
        if len(self.bags) != len(self.labels):
            raise ModelError(f"{len(self.bags)} bags have {len(self.labels)} labels")
        if not self.bags:
            raise ModelError("there is no bag to learn from or to validate on")

    def prepared_for(self, model: Model) -> Examples:
        """The same with all that the model needs once for each bag."""
        for bag, label in zip(self.bags, self.labels, strict=True):
            if not 0 <= label < model.config.classes:
                raise ModelError(f"label {label} is none of the model's {model.config.classes} classes", where=bag.name)
        return Examples([model.prepare(bag) for bag in self.bags], self.labels)


@dataclass(frozen=True, slots=True)
class Epoch:
    """Mean cross-entropy on the training bags (as drawn, with dropout) and on the validation bags, if there are any."""

    training_loss: float
    validation_loss: float | None


@dataclass(frozen=True, slots=True)
class Fit:
    """How a fit went: its epochs, and the index of the one whose weights were kept."""

    epochs: tuple[Epoch, ...]
    best: int


def fit(
    model: Model,
    training: Examples,
    validation: Examples | None,
    settings: FitSettings,
    progress: Callable[[Epoch], None] | None = None,
) -> Fit:
    """Fit a model in place.

    The same model, bags and settings give the same weights on the same machine with the same number of threads.

    Parameters
    ----------
    model
        Ends in evaluation mode with the weights of the epoch of lowest validation loss.
    training
        To learn from.
    validation
        To stop by; None: all epochs are run and the last weights kept.
    settings
        How to fit.
    progress
        Called after each epoch.

    Raises
    ------
    ModelError
        A bag or label does not fit the model, only one class is there to learn, or the loss is no longer finite.
    """
    if len(set(training.labels)) < 2:
        raise ModelError("all bags to learn from have the same label")
    training = training.prepared_for(model)
    validation = None if validation is None else validation.prepared_for(model)
    if settings.standardise:
        model.standardise(training.bags)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    epochs: list[Epoch] = []
    best, best_loss, best_state = 0, float("inf"), copy.deepcopy(model.state_dict())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        for number in range(settings.epochs):
            training_loss = _train_epoch(model, optimiser, training, settings)
            validation_loss = None if validation is None else mean_loss(model, validation, settings.batch_size)
            epochs.append(Epoch(training_loss, validation_loss))
            if progress is not None:
                progress(epochs[-1])
            if validation_loss is None or validation_loss < best_loss:
                best, best_loss = number, float("inf") if validation_loss is None else validation_loss
                best_state = copy.deepcopy(model.state_dict())
            elif number - best >= settings.patience:
                break
    model.load_state_dict(best_state)
    model.eval()
    return Fit(tuple(epochs), best)


@torch.no_grad()
def mean_loss(model: Model, examples: Examples, batch_size: int = 32) -> float:
    """Mean cross-entropy of a model on labelled bags, without dropout."""
    rows = torch.arange(len(examples.bags))
    with evaluating(model):
        losses = [_loss(model, examples, part).item() * len(part) for part in torch.split(rows, batch_size)]
    return sum(losses) / len(rows)


def _train_epoch(model: Model, optimiser: torch.optim.Optimizer, examples: Examples, settings: FitSettings) -> float:
    model.train()
    total, drawn = 0.0, 0
    for rows in _draw(examples.labels, settings):
        loss = _loss(model, examples, rows)
        if not loss.isfinite():
            raise ModelError("the training loss is no longer finite", remedy="Lower the learning rate.")
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        total, drawn = total + loss.item() * len(rows), drawn + len(rows)
    return total / drawn


def _loss(model: Model, examples: Examples, rows: Tensor) -> Tensor:
    batch = model.collate([examples.bags[row] for row in rows])
    logits = model(batch)
    labels = torch.tensor([examples.labels[row] for row in rows], device=logits.device)
    return model.loss(logits, labels, batch)


def _draw(labels: Sequence[int], settings: FitSettings) -> Iterator[Tensor]:
    if not settings.balanced:
        yield from torch.split(torch.randperm(len(labels)), settings.batch_size)
        return
    classes = torch.tensor(labels)
    weights = 1 / classes.bincount()[classes]
    yield from torch.split(torch.multinomial(weights, len(labels), replacement=True), settings.batch_size)
