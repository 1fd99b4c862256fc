"""Fit a slide model to labelled bags: AdamW, and early stopping on a validation set."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from her2qp.errors import ModelError, TrainingError
from her2qp.machine import torch_threads
from her2qp.models.bag import Bag
from her2qp.models.model import Model
from her2qp.training.checkpoint import Epoch, Progress, Snapshot, optimiser_tensors, restore_optimiser


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
    drop_tiles
        Each time a bag is drawn, a share of its tiles is left out that is drawn evenly between 0 and this; at least
        one tile stays. Validation bags are whole.
    device
        "cpu", "cuda" or "mps". Only on the CPU are the weights the same at every run.
    mixed_precision
        Compute in bfloat16 where that is safe; on "cuda" only.
    threads
        Of the processor, for each model. Their number may change the last digits of the weights; more than one pays
        where slides have many thousand tiles and there are more cores than models.
    seed
        Of the order of the bags, of dropped tiles and of dropout. Initial weights are those that the model comes with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=50, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    batch_size: int = Field(default=16, ge=1)
    patience: int = Field(default=15, ge=1)
    balanced: bool = True
    standardise: bool = True
    drop_tiles: float = Field(default=0.0, ge=0, lt=1)
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    mixed_precision: bool = False
    threads: int = Field(default=1, ge=1, le=1024)
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
    checkpoint: Path | None = None,
) -> Fit:
    """Fit a model in place.

    The same model, bags and settings give the same weights on the same machine, also where the fit was interrupted and
    taken up again from its checkpoint.

    Parameters
    ----------
    model
        Ends on the CPU in evaluation mode with the weights of the epoch of lowest validation loss.
    training
        To learn from.
    validation
        To stop by; None: all epochs are run and the last weights kept.
    settings
        How to fit.
    progress
        Called after each epoch, and for each that the checkpoint holds.
    checkpoint
        File that is written after each epoch, and gone on from if it is there. It stays.

    Raises
    ------
    ModelError
        A bag or label does not fit the model, only one class is there to learn, or the loss is no longer finite.
    TrainingError
        The device is not there, or the checkpoint is damaged, of another fit, or cannot be written.
    """
    if len(set(training.labels)) < 2:
        raise ModelError("all bags to learn from have the same label")
    training = training.prepared_for(model)
    validation = None if validation is None else validation.prepared_for(model)
    if settings.standardise:
        model.standardise(training.bags)
    run = _Fitting(model, training, validation, settings, checkpoint)
    with run.random_state(), torch_threads(settings.threads):
        for epoch in run.resume():
            if progress is not None:
                progress(epoch)
        while not run.finished:
            epoch = run.next_epoch()
            if progress is not None:
                progress(epoch)
    return run.conclude()


def mean_loss(model: Model, examples: Examples) -> float:
    """Mean cross-entropy of a model on labelled bags, without dropout."""
    return cross_entropy(model.logits(examples.bags), torch.tensor(examples.labels)).item()


class _Fitting:
    """A fit between two epochs: the model, what it learns from, and how far it has come."""

    def __init__(
        self,
        model: Model,
        training: Examples,
        validation: Examples | None,
        settings: FitSettings,
        checkpoint: Path | None,
    ) -> None:
        self.device = find_device(settings)
        self.model = model.to(self.device)
        self.training, self.validation, self.settings, self.checkpoint = training, validation, settings, checkpoint
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.progress = Progress(belongs_to=_digest(model, training, validation, settings))
        self.best = copy.deepcopy(model.state_dict())

    @contextmanager
    def random_state(self) -> Iterator[None]:
        """Draw from the seed of the settings, and leave the caller's random state alone."""
        devices = [torch.cuda.current_device()] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.settings.seed)
            yield

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to gain: all epochs are done, or too many brought nothing."""
        done = len(self.progress.epochs)
        stale = self.validation is not None and done - 1 - self.progress.best >= self.settings.patience
        return done >= self.settings.epochs or stale

    def resume(self) -> list[Epoch]:
        """Go on from the checkpoint, if there is one; the epochs that it holds."""
        found = None if self.checkpoint is None else Snapshot.read(self.checkpoint, self.progress.belongs_to)
        if found is not None:
            self.progress, self.best = found.progress, found.best
            self.model.load_state_dict(found.model)
            restore_optimiser(self.optimiser, found.optimiser)
            torch.set_rng_state(found.random["cpu"])
            if "cuda" in found.random:
                torch.cuda.set_rng_state(found.random["cuda"])
        return list(self.progress.epochs)

    def next_epoch(self) -> Epoch:
        """Learn from as many bags as there are, and keep the state."""
        trained = self._train()
        validated = None
        if self.validation is not None:
            with self._precision():
                validated = mean_loss(self.model, self.validation)
        epochs = self.progress.epochs
        epochs.append(Epoch(training_loss=trained, validation_loss=validated))
        best = epochs[self.progress.best].validation_loss
        if validated is None or best is None or validated < best or len(epochs) == 1:
            self.progress.best = len(epochs) - 1
            self.best = copy.deepcopy(self.model.state_dict())
        if self.checkpoint is not None:
            self._snapshot().write(self.checkpoint)
        return epochs[-1]

    def conclude(self) -> Fit:
        """Leave the model with the best weights."""
        self.model.load_state_dict(self.best)
        self.model.to("cpu").eval()
        return Fit(tuple(self.progress.epochs), self.progress.best)

    def _train(self) -> float:
        self.model.train()
        total, drawn = 0.0, 0
        for rows in _draw(self.training.labels, self.settings):
            bags = [_thinned(self.training.bags[row], self.settings.drop_tiles) for row in rows]
            batch = self.model.collate(bags)
            with self._precision():
                loss = self.model.training_loss(batch, _labels(self.training, rows, self.device))
            if not loss.isfinite():
                raise ModelError("the training loss is no longer finite", remedy="Lower the learning rate.")
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()
            total, drawn = total + loss.item() * len(rows), drawn + len(rows)
        return total / drawn

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.mixed_precision)

    def _snapshot(self) -> Snapshot:
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state()
        return Snapshot(self.progress, self.model.state_dict(), self.best, optimiser_tensors(self.optimiser), random)


def find_device(settings: FitSettings) -> torch.device:
    """The device that the settings name.

    Raises
    ------
    TrainingError
        This machine has none, or it cannot compute in the precision that is asked for.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available[settings.device]:
        raise TrainingError(f"there is no device {settings.device!r} on this machine", remedy="Use the device 'cpu'.")
    if settings.mixed_precision and settings.device != "cuda":
        raise TrainingError(f"mixed precision is for the device 'cuda', not {settings.device!r}")
    if settings.mixed_precision and not torch.cuda.is_bf16_supported():
        raise TrainingError("this GPU does not compute in bfloat16", remedy="Switch mixed precision off.")
    return torch.device(settings.device)


def _digest(model: Model, training: Examples, validation: Examples | None, settings: FitSettings) -> str:
    """Identify what is fitted, on what and how, so that no checkpoint of another fit is gone on from."""
    content = hashlib.sha256()
    facts = [model.architecture, model.config.model_dump(mode="json"), settings.model_dump(mode="json")]
    content.update(json.dumps(facts, sort_keys=True).encode())
    for tensor in model.state_dict().values():
        content.update(tensor.cpu().numpy().tobytes())
    for part in [training] if validation is None else [training, validation]:
        content.update(
            json.dumps(
                [[bag.name, len(bag), label] for bag, label in zip(part.bags, part.labels, strict=True)]
            ).encode()
        )
    return content.hexdigest()


def _thinned(bag: Bag, most: float) -> Bag:
    if not most:
        return bag
    dropped = int(float(torch.rand(())) * most * len(bag))
    return bag.take(torch.randperm(len(bag))[dropped:].sort().values.numpy())


def _labels(examples: Examples, rows: Tensor, device: torch.device) -> Tensor:
    return torch.tensor([examples.labels[row] for row in rows], device=device)


def _draw(labels: Sequence[int], settings: FitSettings) -> Iterator[Tensor]:
    if not settings.balanced:
        yield from torch.split(torch.randperm(len(labels)), settings.batch_size)
        return
    classes = torch.tensor(labels)
    weights = 1 / classes.bincount()[classes]
    yield from torch.split(torch.multinomial(weights, len(labels), replacement=True), settings.batch_size)
