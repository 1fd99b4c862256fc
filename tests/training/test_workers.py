"""Models that are trained side by side: the same to the byte, resumed, and ended when nobody waits for them."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from support import contents
from training.artificial import make_cohort

from her2qp.errors import ModelError, TrainingError
from her2qp.models.bag import Bag
from her2qp.training import workers
from her2qp.training.checkpoint import Epoch
from her2qp.training.config import TrainingConfig, make_config
from her2qp.training.data import LabelledBags
from her2qp.training.monitor import Monitor
from her2qp.training.protocols import training_group
from her2qp.training.runs import Run, train
from her2qp.training.sharedfeatures import SharedFeatures, share_features

FIT = {"epochs": 20, "learning_rate": 1e-2, "batch_size": 8, "patience": 20}
FOREVER = {"epochs": 1_000_000, "patience": 1_000_000}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort, and in ``alone`` models that were trained one after another."""
    folder = tmp_path_factory.mktemp("lab")
    make_cohort(folder, 24)
    train(config_of(folder, folder / "alone", workers=1))
    return folder


def config_of(lab: Path, output: Path, *, fit: dict[str, object] | None = None, **more: object) -> TrainingConfig:
    return make_config(
        cohort=lab / "cohort.csv", features=lab / "features", output=output, protocol={"folds": 3},
        model={"architecture": "abmil", "hyperparameters": {"width": 16, "gate_width": 8}}, fit=FIT | (fit or {}),
        **more,
    )  # fmt: skip


class Listener(Monitor):
    """Keeps what it is told, and kills the processes at the first epoch of a model that it is given."""

    def __init__(self, victim: str | None = None) -> None:
        self.victim, self.epochs, self.finished = victim, defaultdict[str, list[Epoch]](list), dict[str, str]()

    def epoch_done(self, name: str, epoch: Epoch) -> None:
        self.epochs[name].append(epoch)
        if name == self.victim:
            for process in multiprocessing.active_children():
                process.kill()

    def model_finished(self, name: str, summary: str) -> None:
        self.finished[name] = summary


def weights_of(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if name.startswith(("models", "bundle/model"))}


def test_killed_workers_are_told_of_and_what_is_resumed_is_as_if_trained_alone(lab: Path, tmp_path: Path) -> None:
    config = config_of(lab, tmp_path / "run", workers=2)
    with pytest.raises(TrainingError, match=r"\d: the process that trained model \d was ended \((signal|exit code) \d"):
        train(config, Listener(victim="model 1"))
    assert not multiprocessing.active_children() and not (tmp_path / "run" / "models" / "1" / "model.json").exists()
    resumed = Listener()
    train(config, resumed)
    assert weights_of(tmp_path / "run") == weights_of(lab / "alone")
    again = Listener()
    assert isinstance(train(config, again), Run) and again.finished == resumed.finished and not again.epochs
    assert len(resumed.epochs["model 1"]) == FIT["epochs"] and set(resumed.finished) == {
        f"model {n}" for n in (1, 2, 3)
    }
    hidden = {path.name for path in (tmp_path / "run").rglob(".*")}
    assert hidden == {".lock"}, "neither shared features nor half-written files stay"


def test_an_error_in_a_worker_is_the_sentence_that_it_would_be_here(lab: Path, tmp_path: Path) -> None:
    said = []
    for number in (1, 2):
        with pytest.raises(ModelError) as caught:
            train(config_of(lab, tmp_path / str(number), fit={"learning_rate": 1e37}, workers=number))
        said.append(str(caught.value))
    assert said[0] == said[1] and "no longer finite" in said[0]


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """Started in the background, this process ignores Ctrl-C, and so would all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes as Linux lists them")
@pytest.mark.usefixtures("heeds_interrupts")
@pytest.mark.parametrize("how", ["Ctrl-C", "killed"])
def test_workers_end_with_the_process_that_started_them(how: str, lab: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(config_of(lab, tmp_path / "run", fit=FOREVER, workers=2).to_yaml())
    command = [sys.executable, "-m", "her2qp", "train", str(tmp_path / "run.yaml")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while len(list(tmp_path.glob("run/models/*/checkpoint.safetensors"))) < 2:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if how == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        else:
            process.kill()
        said = process.communicate(timeout=60)[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while alive := [pid for pid in children if is_running(pid)]:
        assert time.monotonic() < deadline, f"{alive} go on"
        time.sleep(0.05)
    assert "Traceback" not in said
    if how == "Ctrl-C":
        assert process.returncode == 130 and re.search(r"Interrupted\. Finished models and epochs are kept", said)
    assert not list(tmp_path.glob("run/models/*/model.json")), "no half-trained model is taken for a whole one"
    FileLock(tmp_path / "run" / ".lock").acquire(timeout=0).lock.release()


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def labelled_bags(lab: Path) -> LabelledBags:
    return LabelledBags.load(config_of(lab, lab), Monitor())


def test_as_many_workers_as_there_is_room_and_work_for(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = labelled_bags(lab)

    def counted(asked: int | None = None, **fit: object) -> int:
        config = config_of(lab, tmp_path, fit={"epochs": 100_000, **fit})
        split = training_group(config.protocol, data.cases)[0]
        models = [
            workers.Assignment(str(number), split, config.model, config.fit, tmp_path / str(number))
            for number in range(5)
        ]
        return workers.count_workers(asked, models, data)

    monkeypatch.setattr(workers, "processors", lambda: 8)
    monkeypatch.setattr(workers, "free_memory", lambda: float("inf"))
    assert counted() == 5 and counted(threads=2) == 4 and counted(threads=16) == 1
    assert counted(asked=3) == 3 and counted(asked=50) == 5
    assert counted(device="cuda") == 1 and counted(device="cuda", asked=2) == 2
    assert counted(epochs=3) == 1 and counted(epochs=3, asked=2) == 2
    monkeypatch.setattr(workers, "free_memory", lambda: 2e9)
    assert counted() == 3
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "model.json").touch()
    assert counted(asked=50) == 4


def test_shared_features_are_those_that_were_in_memory(lab: Path, tmp_path: Path) -> None:
    data, file = labelled_bags(lab), tmp_path / "features"
    mixed = [replace(data.bags[0], content=SharedFeatures(tmp_path / "own", 0, (len(data.bags[0]), 8))), *data.bags[1:]]
    shared = share_features(mixed, file)
    assert shared[0] is mixed[0], "what has a file keeps it"
    for bag, other in zip(data.bags[1:], shared[1:], strict=True):
        assert not isinstance(other.content, np.ndarray) and (other.name, len(other)) == (bag.name, len(bag))
        np.testing.assert_array_equal(other.features, bag.features)
    assert file.stat().st_size == sum(bag.features.nbytes for bag in data.bags[1:])
    os.truncate(file, 1000)
    with pytest.raises(TrainingError, match="features: the features that processes share can no longer be read"):
        _ = shared[-1].features
    with pytest.raises(TrainingError, match=r"cannot be shared between processes \(No such file"):
        share_features([Bag(np.ones((2, 3), np.float32), np.ones((2, 2)), 1.0)], tmp_path / "nowhere" / "file")
