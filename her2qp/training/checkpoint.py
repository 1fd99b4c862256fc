"""The state of a training between two epochs, in one safetensors file: tensors, and the rest as JSON in its header.

Nothing is pickled, so a checkpoint from elsewhere can do no more than be refused. The file is replaced in one step: a
process that is killed leaves the state of the epoch before.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from her2qp.errors import TrainingError

Tensors = dict[str, Tensor]

_HEADER = "her2qp"
_LARGEST_BYTES = 8 << 30


class Epoch(BaseModel):
    """What an epoch came to.

    Parameters
    ----------
    training_loss
        Mean loss of the training bags as drawn, with dropout.
    validation_loss
        Mean cross-entropy of the validation bags; None if there are none.
    """

    model_config = ConfigDict(frozen=True)

    training_loss: float
    validation_loss: float | None


class Progress(BaseModel):
    """How far a training has come.

    Parameters
    ----------
    belongs_to
        Digest of what is trained on what and how.
    epochs
        Those that are done.
    best
        Index of the one whose weights are kept.
    """

    model_config = ConfigDict(extra="forbid")

    belongs_to: str
    epochs: list[Epoch] = []
    best: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything that a training goes on from.

    Parameters
    ----------
    progress
        How far it has come.
    model, best
        Weights after the last epoch, and after the best one.
    optimiser
        State of each parameter by ``NUMBER/NAME``.
    random
        State of the random numbers of each device that is used.
    """

    progress: Progress
    model: Tensors
    best: Tensors
    optimiser: Tensors
    random: Tensors

    def write(self, path: Path) -> None:
        """Replace the file.

        Raises
        ------
        TrainingError
            It cannot be written.
        """
        tensors = {
            f"{part}/{name}": tensor.detach().cpu().contiguous()
            for part in ("model", "best", "optimiser", "random")
            for name, tensor in getattr(self, part).items()
        }
        # Two names of one piece of memory are refused by safetensors, and the best weights may be the last ones.
        data = safetensors.torch.save(
            {name: tensor.clone() for name, tensor in tensors.items()}, {_HEADER: self.progress.model_dump_json()}
        )
        write_atomically(path, data)

    @classmethod
    def read(cls, path: Path, belongs_to: str) -> Snapshot | None:
        """Read the file; None if there is none.

        Raises
        ------
        TrainingError
            It is damaged, or of another training.
        """
        if not path.exists():
            return None
        remedy = "Delete it to begin this model anew."
        try:
            if path.stat().st_size > _LARGEST_BYTES:
                raise TrainingError("too large for a checkpoint", where=path, remedy=remedy)
            with safetensors.safe_open(path, "pt") as file:
                progress = Progress.model_validate_json((file.metadata() or {}).get(_HEADER, ""))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        except (OSError, SafetensorError, ValidationError) as error:
            raise TrainingError("the checkpoint is damaged", where=path, remedy=remedy) from error
        if progress.belongs_to != belongs_to:
            raise TrainingError("the checkpoint is of another training", where=path, remedy=remedy)
        parts: dict[str, Tensors] = {"model": {}, "best": {}, "optimiser": {}, "random": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = tensor
        return cls(progress, parts["model"], parts["best"], parts["optimiser"], parts["random"])


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> Tensors:
    """State of an optimiser, by number of the parameter and name."""
    return {
        f"{number}/{name}": torch.as_tensor(value)
        for number, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put the state back into an optimiser of the same parameters and settings."""
    state: dict[int, dict[str, Tensor]] = {}
    for place, tensor in tensors.items():
        number, _, name = place.partition("/")
        state.setdefault(int(number), {})[name] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one step, so that a reader or a crash meets the old or the new one.

    Raises
    ------
    TrainingError
        It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise TrainingError(f"cannot be written ({error.strerror})", where=path) from error


def write_json(path: Path, document: object) -> None:
    """Replace a JSON file in one step.

    Raises
    ------
    TrainingError
        It cannot be written.
    """
    write_atomically(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())
