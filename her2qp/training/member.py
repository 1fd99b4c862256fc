"""One model of a run: trained on its split, calibrated, judging its test slides, and kept in a folder of its own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError

from her2qp.errors import TrainingError
from her2qp.evaluation import Predictions, read_predictions, write_predictions
from her2qp.machine import torch_threads
from her2qp.models.model import Model
from her2qp.training.calibration import find_temperature
from her2qp.training.checkpoint import write_atomically, write_json
from her2qp.training.config import ModelSettings
from her2qp.training.data import LabelledBags
from her2qp.training.fit import FitSettings, fit
from her2qp.training.monitor import Monitor
from her2qp.training.splits import Split

_CHECKPOINT, _WEIGHTS, _RECORD = "checkpoint.safetensors", "model.safetensors", "model.json"
_VALIDATION, _TEST = "validation.csv", "test.csv"


class _Record(BaseModel):
    """What is written last: a folder that holds it is finished."""

    model_config = ConfigDict(extra="forbid")

    temperature: float
    best_epoch: int
    losses: list[tuple[float, float | None]]
    weights_sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A trained model.

    Parameters
    ----------
    name
        Of the model in tables and on the screen.
    model
        In evaluation mode, with the weights of its best epoch.
    temperature
        Found on the validation slides.
    epochs, best
        How many there were, and the index of the one whose weights were kept.
    validation, test
        Calibrated predictions; `test` is None where the split tests nobody.
    """

    name: str
    model: Model
    temperature: float
    epochs: int
    best: int
    validation: Predictions
    test: Predictions | None


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """A model that is to be trained.

    Parameters
    ----------
    name
        What to call it.
    split
        What to learn from, to stop by and to judge.
    model, fit
        What to train and how; the seed also draws the initial weights.
    folder
        Its own.
    """

    name: str
    split: Split
    model: ModelSettings
    fit: FitSettings
    folder: Path

    @property
    def is_finished(self) -> bool:
        """Whether it was trained already."""
        return (self.folder / _RECORD).exists()

    def untrained(self, data: LabelledBags) -> Model:
        """The model with its initial weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.fit.seed)
            return self.model.build(data.features.dimension, len(data.cases.classes))


def train_member(assignment: Assignment, data: LabelledBags, monitor: Monitor) -> None:
    """Train a model, or go on where its training was interrupted; a finished one stays as it is.

    Parameters
    ----------
    assignment
        What to train.
    data
        What its split is a split of.
    monitor
        Is told of every epoch.

    Raises
    ------
    ModelError
        The bags do not fit the model, or the loss is no longer finite.
    TrainingError
        The folder cannot be written, or its files are damaged.
    """
    monitor.model_started(assignment.name, assignment.fit.epochs)
    if not assignment.is_finished:
        with torch_threads(assignment.fit.threads):
            _train(assignment, data, monitor)
    record = _read_record(assignment.folder)
    monitor.model_finished(assignment.name, f"best epoch {record.best_epoch + 1} of {len(record.losses)}")


def read_member(assignment: Assignment, data: LabelledBags) -> Member:
    """Read a trained model back.

    Raises
    ------
    TrainingError
        Its files are damaged.
    """
    name, folder = assignment.name, assignment.folder
    record, model = _read_record(folder), assignment.untrained(data)
    _restore(model, folder / _WEIGHTS, record.weights_sha256)
    test = read_predictions(folder / _TEST, name=name) if len(assignment.split.test) else None
    validation = read_predictions(folder / _VALIDATION, name=name)
    return Member(name, model, record.temperature, len(record.losses), record.best_epoch, validation, test)


def _train(assignment: Assignment, data: LabelledBags, monitor: Monitor) -> None:
    name, split, folder = assignment.name, assignment.split, assignment.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"the folder cannot be made ({error.strerror})", where=folder) from error
    model, checkpoint = assignment.untrained(data), folder / _CHECKPOINT
    training, validation = data.examples(split.training), data.examples(split.validation)
    done = fit(model, training, validation, assignment.fit, partial(monitor.epoch_done, name), checkpoint)
    logits = model.logits(validation.bags).double().numpy()
    temperature = find_temperature(logits, data.cases.labels[split.validation])
    _write_predictions(folder / _VALIDATION, name, data, split.validation, logits / temperature)
    if len(split.test):
        logits = model.logits(data.examples(split.test).bags).double().numpy()
        _write_predictions(folder / _TEST, name, data, split.test, logits / temperature)
    weights = safetensors.torch.save({n: tensor.contiguous() for n, tensor in model.state_dict().items()})
    write_atomically(folder / _WEIGHTS, weights)
    record = _Record(
        temperature=temperature,
        best_epoch=done.best,
        losses=[(epoch.training_loss, epoch.validation_loss) for epoch in done.epochs],
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    write_json(folder / _RECORD, record.model_dump(mode="json"))
    for leftover in (checkpoint, *folder.glob(".*")):  # what a killed process had not finished writing
        leftover.unlink(missing_ok=True)


def _write_predictions(
    file: Path, name: str, data: LabelledBags, rows: NDArray[np.int64], logits: NDArray[np.float64]
) -> None:
    from scipy.special import softmax

    write_predictions(data.cases.take(rows).judged(softmax(logits, axis=1), name), file)


def _read_record(folder: Path) -> _Record:
    file = folder / _RECORD
    try:
        return _Record.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(file) from error


def _restore(model: Model, file: Path, sha256: str) -> None:
    try:
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise _damaged(file)
        model.load_state_dict(safetensors.torch.load(data))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise _damaged(file) from error
    model.eval()


def _damaged(file: Path) -> TrainingError:
    return TrainingError("the file is damaged", where=file, remedy=f"Delete {file.parent} to train this model again.")
