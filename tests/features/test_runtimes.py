"""All runtimes give the same features, and the choice among them survives whatever happens to its memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from her2qp.errors import ExtractorError
from her2qp.features.info import ExtractorInfo
from her2qp.features.network import TileNetwork
from her2qp.features.runtimes import choice
from her2qp.features.runtimes.base import Job, Runtime
from her2qp.features.runtimes.choice import AUTO, RUNTIMES, choose_runtime
from her2qp.features.runtimes.probe import TOLERANCE, difference, probe_tiles

TINY = ExtractorInfo("tiny", 3, 16, 0.5, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "0" * 64, "CC0-1.0", "For tests.")


class MeanColour(nn.Module):
    """The mean of each colour, times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3)) * self.factor


def tiny_job(folder: Path, info: ExtractorInfo = TINY, factor: float = 1.0) -> Job:
    network = TileNetwork(info, MeanColour(factor)).eval()
    return Job(info, lambda: network, batch_size=2, threads=1, folder=folder)


@pytest.fixture
def coloured_job(tmp_path: Path) -> Job:
    return tiny_job(tmp_path)


def skip_where_missing(name: str) -> None:
    missing = RUNTIMES[name].missing()
    if missing is not None:
        pytest.skip(missing)


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("small_job", "onnx"),
        ("small_job", "openvino"),
        pytest.param("coloured_job", "compiled", marks=pytest.mark.long),  # the compiler takes a minute for the other
    ],
)
def test_a_runtime_agrees_with_eager_on_other_tiles_than_the_probe(
    job: str, name: str, request: pytest.FixtureRequest
) -> None:
    skip_where_missing(name)
    small_job: Job = request.getfixturevalue(job)
    tiles = np.random.default_rng(3).integers(0, 256, small_job.batch_shape, dtype=np.uint8)
    expected = choose_runtime(small_job, "eager").run(tiles)
    assert difference(choose_runtime(small_job, name).run(tiles), expected) < TOLERANCE


def test_auto_takes_the_fastest_and_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"eager": 5.0, "onnx": 9.0, "openvino": 7.0}
    usable = {name: speed for name, speed in speeds.items() if RUNTIMES[name].missing() is None}
    monkeypatch.setattr(choice, "tiles_per_second", lambda runs, tiles: {name: speeds[name] for name in runs})
    first = choose_runtime(tiny_job(tmp_path), AUTO)
    assert first.name == max(usable, key=usable.__getitem__)
    monkeypatch.setattr(choice, "tiles_per_second", lambda runs, tiles: {"eager": 99.0})
    again = choose_runtime(tiny_job(tmp_path), AUTO)
    assert again.name == first.name and "measured earlier" in again.reason


def test_auto_falls_back_to_eager_where_nothing_else_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "openvino"):
        monkeypatch.setitem(RUNTIMES, name, replace(RUNTIMES[name], missing=lambda: "not installed"))
    assert choose_runtime(tiny_job(tmp_path), AUTO).name == "eager"
    with pytest.raises(ExtractorError, match="not installed"):
        choose_runtime(tiny_job(tmp_path), "onnx")


def test_a_runtime_that_misses_the_tolerance_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(job: Job) -> choice.Run:
        exact = RUNTIMES["eager"].build(job)
        return lambda tiles: exact(tiles) * np.float32(1.01)

    monkeypatch.setitem(RUNTIMES, "onnx", Runtime("onnx", lambda: None, build))
    assert choose_runtime(tiny_job(tmp_path), AUTO).name != "onnx"
    with pytest.raises(ExtractorError, match="differs from eager PyTorch"):
        choose_runtime(tiny_job(tmp_path), "onnx")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("network.onnx", "empty"),
        ("network.onnx", "half"),
        ("network.xml", "garbage"),
        ("network.bin", "half"),
        ("reference.npy", "garbage"),
        ("reference.npy", "half"),
        ("choice.json", "garbage"),
    ],
)
def test_a_damaged_memory_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    runtime = {"network.onnx": "onnx", "network.xml": "openvino", "network.bin": "openvino"}.get(name, AUTO)
    if runtime != AUTO:
        skip_where_missing(runtime)
    tiles = probe_tiles(tiny_job(tmp_path))
    expected = choose_runtime(tiny_job(tmp_path), runtime).run(tiles)
    (file,) = tmp_path.rglob(name)
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "garbage": b"\x93" * len(whole), "half": whole[: len(whole) // 2]}[damage])
    np.testing.assert_allclose(choose_runtime(tiny_job(tmp_path), runtime).run(tiles), expected, rtol=1e-4)


def test_a_remembered_network_of_other_weights_is_not_used(tmp_path: Path) -> None:
    """Same circumstances by mistake, other numbers: the comparison with the reference finds out."""
    skip_where_missing("onnx")
    tiles = probe_tiles(tiny_job(tmp_path))
    expected = choose_runtime(tiny_job(tmp_path / "right"), "onnx").run(tiles)
    choose_runtime(tiny_job(tmp_path / "wrong", factor=2.0), "onnx")
    (right,), (wrong,) = (tmp_path / "right").rglob("network.onnx"), (tmp_path / "wrong").rglob("network.onnx")
    right.write_bytes(wrong.read_bytes())
    np.testing.assert_allclose(choose_runtime(tiny_job(tmp_path / "right"), "onnx").run(tiles), expected, rtol=1e-5)


def test_a_folder_that_cannot_be_made_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert choose_runtime(tiny_job(tmp_path / "file" / "below"), AUTO).run is not None


def test_an_unknown_runtime_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(ExtractorError, match="auto, eager, compiled, onnx, openvino"):
        choose_runtime(tiny_job(tmp_path), "tensorrt")


@pytest.mark.parametrize(
    ("info", "factor", "message"),
    [(replace(TINY, dimension=4), 1.0, "dimension"), (TINY, float("nan"), "not finite")],
)
def test_a_network_that_breaks_its_promise_is_refused(
    tmp_path: Path, info: ExtractorInfo, factor: float, message: str
) -> None:
    with pytest.raises(ExtractorError, match=message):
        choose_runtime(tiny_job(tmp_path, info, factor), AUTO)


def test_normalisation_and_resampling_are_in_the_network(tmp_path: Path) -> None:
    """Against plain arithmetic, and against PyTorch's own resampling of the image."""
    tiles = probe_tiles(tiny_job(tmp_path))
    mean, std = np.array(TINY.mean), np.array(TINY.std)
    expected = ((tiles / 255.0 - mean) / std).mean(axis=(1, 2))
    np.testing.assert_allclose(choose_runtime(tiny_job(tmp_path), "eager").run(tiles), expected, atol=1e-5)
    resized = replace(TINY, input_px=10)
    images = torch.from_numpy(tiles).permute(0, 3, 1, 2).float()
    small = nn.functional.interpolate(images, size=10, mode="bicubic", antialias=True).round().clamp(0, 255)
    expected = ((small.permute(0, 2, 3, 1).numpy() / 255.0 - mean) / std).mean(axis=(1, 2))
    np.testing.assert_allclose(choose_runtime(tiny_job(tmp_path, resized), AUTO).run(tiles), expected, atol=1e-3)


def test_difference_is_relative_to_the_features_and_never_forgives_nonsense() -> None:
    reference = np.array([[3.0, -4.0]], dtype=np.float32)
    assert difference(reference + np.float32(0.1), reference) == pytest.approx(0.1 / np.sqrt(12.5), rel=1e-5)
    assert difference(reference[:, :1], reference) == np.inf
    assert difference(np.full_like(reference, np.nan), reference) == np.inf
    assert difference(np.ones_like(reference), np.zeros_like(reference)) == np.inf
