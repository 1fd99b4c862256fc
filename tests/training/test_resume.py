"""A fit that was killed and taken up again ends with the weights of one that was left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from training.examples import make_examples, make_model

from her2qp.errors import TrainingError
from her2qp.models.model import Model
from her2qp.training.checkpoint import Progress
from her2qp.training.fit import Epoch, FitSettings, fit

SETTINGS = FitSettings(epochs=30, learning_rate=3e-3, batch_size=5, patience=30, drop_tiles=0.4, weight_decay=0.01)
TESTS = Path(__file__).parents[1]


def fitted(checkpoint: Path | None, settings: FitSettings = SETTINGS) -> tuple[Model, list[Epoch]]:
    torch.set_num_threads(1)
    model, seen = make_model("abmil"), []
    fit(model, make_examples(12, seed=0), make_examples(6, seed=1), settings, seen.append, checkpoint)
    return model, seen


def epochs_in(checkpoint: Path) -> int:
    with safe_open(checkpoint, "pt") as file:
        return len(Progress.model_validate_json(file.metadata()["her2qp"]).epochs)


def killed_after(epochs: int, checkpoint: Path) -> None:
    """Fit in a process of its own, and kill that while it works on a later epoch."""
    code = "import sys, pathlib; from training.test_resume import fitted; fitted(pathlib.Path(sys.argv[1]))"
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    process = subprocess.Popen([sys.executable, "-c", code, str(checkpoint)], env={**os.environ, "PYTHONPATH": paths})
    try:
        while not (checkpoint.exists() and epochs_in(checkpoint) >= epochs):
            assert process.poll() is None, "the fit ended before it could be killed"
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()


def test_killed_and_resumed_is_as_if_never_killed(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    killed_after(3, checkpoint)
    reached = epochs_in(checkpoint)
    assert 3 <= reached < SETTINGS.epochs
    resumed, told = fitted(checkpoint)
    untouched, all_epochs = fitted(None)
    assert told == all_epochs, "the epochs before the kill are told too"
    for name, tensor in untouched.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_finished_fit_is_not_gone_on_with(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    settings = SETTINGS.model_copy(update={"epochs": 3})
    model, epochs = fitted(checkpoint, settings)
    written = checkpoint.stat().st_mtime_ns
    again, told = fitted(checkpoint, settings)
    assert told == epochs and checkpoint.stat().st_mtime_ns == written
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_a_checkpoint_of_another_fit_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    short = SETTINGS.model_copy(update={"epochs": 1})
    fitted(checkpoint, short)
    with pytest.raises(TrainingError, match="of another training"):
        fitted(checkpoint, short.model_copy(update={"learning_rate": 1e-3}))
    data = checkpoint.read_bytes()
    for damaged in (b"", data[: len(data) // 2], b"\x80\x04N." + data[4:]):
        checkpoint.write_bytes(damaged)
        with pytest.raises(TrainingError, match="damaged"):
            fitted(checkpoint, short)


def test_a_checkpoint_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be written"):
        fitted(tmp_path / "nowhere" / "checkpoint.safetensors", SETTINGS.model_copy(update={"epochs": 1}))
