"""Bundles come back as they were saved, and refuse damage and foreign features."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from her2qp.errors import BundleError, BundleMismatchError
from her2qp.models import bundle as bundle_module
from her2qp.models.bag import Bag
from her2qp.models.bundle import DEMO_FOLDER, Bundle
from her2qp.models.registry import ARCHITECTURES

MakeBundle = Callable[..., Bundle]
MakeBag = Callable[..., Bag]
FILES = ("model.safetensors", "config.json", "card.md")


@pytest.fixture
def folder(tmp_path: Path, make_bundle: MakeBundle) -> Path:
    make_bundle().save(tmp_path / "bundle")
    return tmp_path / "bundle"


def rewrite_config(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def rewrite_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the weights and the checksum with them, as a careless converter would."""
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    change(tensors)
    data = safetensors.torch.save(tensors)
    (folder / "model.safetensors").write_bytes(data)
    rewrite_config(folder, lambda config: config.update(model_sha256=hashlib.sha256(data).hexdigest()))


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - {"ensemble"}))
@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_round_trip(architecture: str, name: str, tmp_path: Path, make_bundle: MakeBundle, make_bag: MakeBag) -> None:
    saved, bag = make_bundle(architecture, temperature=1.7), make_bag(40)
    saved.save(tmp_path / name)
    loaded = Bundle.load(tmp_path / name)
    assert loaded.config == saved.config
    assert (loaded.card, loaded.hash, loaded.label) == (saved.card, saved.hash, f"test@{saved.hash[:8]}")
    one, other = loaded.predict(bag), saved.predict(bag)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    np.testing.assert_array_equal(one.attention, other.attention)
    np.testing.assert_array_equal(one.tile_probabilities, other.tile_probabilities)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_saving_twice_gives_the_same_bytes_in_the_same_place(
    name: str, tmp_path: Path, make_bundle: MakeBundle
) -> None:
    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    make_bundle("abmil").save(tmp_path / name)
    make_bundle().save(tmp_path / name)
    first = content()
    make_bundle().save(tmp_path / name)
    assert content() == first
    assert Bundle.load(tmp_path / name).config.architecture == "kat"


def test_a_zipped_folder_is_a_bundle_too(folder: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, folder.name)
    assert Bundle.load(archive).hash == Bundle.load(folder).hash


def test_prediction(make_bundle: MakeBundle, make_bag: MakeBag) -> None:
    bundle, bag = make_bundle(), make_bag(40)
    prediction = bundle.predict(bag)
    assert prediction.probabilities.shape == (4,) and prediction.probabilities.dtype == np.float32
    assert prediction.attention.shape == (40,) and prediction.attention.dtype == np.float32
    assert prediction.tile_probabilities.shape == (40, 4) and prediction.tile_probabilities.dtype == np.float32
    for rows in (prediction.probabilities[None], prediction.attention[None], prediction.tile_probabilities):
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(bundle.probabilities(bag), prediction.probabilities)
    np.testing.assert_array_equal(bundle.explain(bag).probabilities, prediction.probabilities)
    alone = bundle.predict(bag.take(np.array([7])))
    np.testing.assert_allclose(alone.probabilities, prediction.tile_probabilities[7], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(alone.attention, [1])


def test_temperature_flattens_without_changing_the_order(make_bundle: MakeBundle, make_bag: MakeBag) -> None:
    bag = make_bag(40)
    cold, hot = make_bundle().predict(bag), make_bundle(temperature=3.0).predict(bag)
    for one, other in ((cold.probabilities, hot.probabilities), (cold.tile_probabilities, hot.tile_probabilities)):
        np.testing.assert_allclose(
            np.log(one) - np.log(one).mean(-1, keepdims=True),
            3 * (np.log(other) - np.log(other).mean(-1, keepdims=True)),
            rtol=1e-3,
            atol=1e-4,
        )
    np.testing.assert_array_equal(cold.attention, hot.attention)


def test_every_bundle_of_artificial_slides_says_so(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    assert bundle.is_demo
    assert "artificial slides or invented labels only" in bundle.notice and bundle.notice in bundle.card
    assert "consists of this tile alone" in bundle.card
    assert json.loads(json.dumps(bundle.facts()))["notice"] == bundle.notice


def test_the_hash_names_weights_and_configuration(make_bundle: MakeBundle) -> None:
    hashes = {make_bundle(**options).hash for options in ({}, {"temperature": 2.0}, {"classes": ("a", "b", "c", "d")})}
    hashes |= {make_bundle("abmil").hash, make_bundle().hash}
    assert len(hashes) == 4


# --- features --------------------------------------------------------------------------------------------------------


def test_accepts_its_own_features(make_bundle: MakeBundle, extractor: Any) -> None:
    make_bundle().check_features(extractor)


@pytest.mark.parametrize(
    ("change", "both_sides"),
    [
        ({"id": "plip"}, "extractor: test-extractor, plip"),
        ({"dimension": 512}, "dimension: 12, 512"),
        ({"mpp": 0.25}, r"mpp: 0\.5, 0\.25"),
        ({"tile_px": 224}, "tile_px: 256, 224"),
        ({"weights_sha256": "c" * 64}, "weights_sha256: a+, c+"),
        ({"mean": (0.0, 0.0, 0.0)}, r"mean: \(0\.5, 0\.5, 0\.5\), \(0\.0, 0\.0, 0\.0\)"),
        ({"fingerprint": "d" * 64}, "preprocessing_sha256: b+, d+"),
    ],
)
def test_refuses_foreign_features(
    change: dict[str, Any], both_sides: str, make_bundle: MakeBundle, extractor: Any
) -> None:
    with pytest.raises(BundleMismatchError, match=both_sides) as caught:
        make_bundle().check_features(replace(extractor, **change))
    assert "test@" in str(caught.value) and "test-extractor" in str(caught.value)


def test_refuses_a_model_that_does_not_fit_its_extractor_or_classes(make_bundle: MakeBundle, extractor: Any) -> None:
    with pytest.raises(BundleError, match="4 classes, 3 are named"):
        make_bundle(classes=("0", "low", "positive"))
    bundle = make_bundle()
    with pytest.raises(BundleError, match="takes 12 features, its extractor makes 13"):
        Bundle.create(bundle.model, replace(extractor, dimension=13), bundle.config.training, name="test")


def test_refuses_to_save_a_model_that_was_trained_on(tmp_path: Path, make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    with torch.no_grad():
        bundle.model.head[1].bias += 1
    with pytest.raises(BundleError, match="changed after"):
        bundle.save(tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage", "folder"])
def test_damage_to_any_file(name: str, damage: str, folder: Path) -> None:
    file = folder / name
    content = file.read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "missing":
        cut = content[: len(content) // 2]
        if damage == "truncated" and name == "card.md":
            cut = content[: content.index("µ".encode()) + 1]
        file.write_bytes({"empty": b"", "truncated": cut, "garbage": b"\xff\x00\xfe" * 50}[damage])
    with pytest.raises(BundleError, match=name.replace(".", r"\.")) as caught:
        Bundle.load(folder)
    assert str(folder) in str(caught.value) and caught.value.remedy


def test_a_flipped_bit_in_the_weights(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-3] ^= 4
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(BundleError, match="SHA-256"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.update(architecture="resnet"), "unknown architecture"),
        (lambda c: c["hyperparameters"].update(width=11), r"mlp\.0\.bias is \(10,\), not \(11,\)"),
        (lambda c: c["hyperparameters"].update(width=4096, depth=64, mlp_width=16384), "do not fit together"),
        (lambda c: c["hyperparameters"].update(width=10**9), "width"),
        (lambda c: c["hyperparameters"].update(dimension=13), "13 features"),
        (lambda c: c["features"].update(mpp=-1), r"features\.mpp"),
        (lambda c: c.update(classes=["0", "0", "1+", "2+"]), "same name"),
        (lambda c: c.update(classes=["0", "1+", "2+"]), "3 are named"),
        (lambda c: c.update(temperature=0), "temperature"),
        (lambda c: c.update(format=2), "format"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c.pop("training"), "training"),
    ],
)
def test_a_configuration_that_is_wrong(change: Callable[[dict[str, Any]], Any], says: str, folder: Path) -> None:
    rewrite_config(folder, lambda config: (change(config), None)[1])
    with pytest.raises(BundleError, match=says):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.update(extra=torch.zeros(2)), r"extra is \(2,\), not part of the model"),
        (lambda t: t.pop("class_token"), "class_token is missing"),
        (lambda t: t.update(class_token=torch.zeros(9)), r"class_token is \(9,\), not \(10,\)"),
        (lambda t: t.update(class_token=torch.full((10,), torch.nan)), "not finite"),
        (lambda t: t.update(class_token=torch.zeros(10, dtype=torch.int64)), "float32"),
    ],
)
def test_weights_that_are_not_the_models(change: Callable[[dict[str, Any]], Any], says: str, folder: Path) -> None:
    rewrite_weights(folder, lambda tensors: (change(tensors), None)[1])
    with pytest.raises(BundleError, match=says):
        Bundle.load(folder)


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such model bundle"):
        Bundle.load(tmp_path / "nothing")
    (tmp_path / "text.zip").write_text("not a zip")
    with pytest.raises(BundleError, match=r"text\.zip: not a readable zip"):
        Bundle.load(tmp_path / "text.zip")
    with pytest.raises(BundleError, match=r"model\.safetensors is missing|config\.json is missing"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_zip(cut: float, tmp_path: Path, make_bundle: MakeBundle) -> None:
    make_bundle().save(tmp_path / "bundle.zip")
    data = (tmp_path / "bundle.zip").read_bytes()
    (tmp_path / "bundle.zip").write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(BundleError, match=r"bundle\.zip"):
        Bundle.load(tmp_path / "bundle.zip")


def test_a_zip_with_a_damaged_member(tmp_path: Path, make_bundle: MakeBundle) -> None:
    make_bundle().save(tmp_path / "bundle.zip")
    data = bytearray((tmp_path / "bundle.zip").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "bundle.zip").write_bytes(data)
    with pytest.raises(BundleError, match="not a readable zip"):
        Bundle.load(tmp_path / "bundle.zip")


def test_a_zip_bomb_is_not_unpacked(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FILES:
            archive.writestr(name, b"0" * (64 << 20) if name == "card.md" else (folder / name).read_bytes())
    with pytest.raises(BundleError, match="larger than 1 MiB"):
        Bundle.load(tmp_path / "bomb.zip")


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/model.safetensors", "..\\model.safetensors"])
def test_a_zip_with_a_path_that_leaves_its_folder(name: str, folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        for file in FILES:
            archive.writestr(file, (folder / file).read_bytes())
        archive.writestr(name, b"x")
    with pytest.raises(BundleError, match="leaves its folder"):
        Bundle.load(tmp_path / "slip.zip")


# --- writing ---------------------------------------------------------------------------------------------------------


def test_does_not_replace_what_is_no_bundle(tmp_path: Path, make_bundle: MakeBundle) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.md").write_text("years of work")
    (tmp_path / "file").write_text("text")
    with pytest.raises(BundleError, match="other things"):
        make_bundle().save(tmp_path / "thesis")
    with pytest.raises(BundleError, match="is a file"):
        make_bundle().save(tmp_path / "file")
    assert (tmp_path / "thesis" / "chapter.md").read_text() == "years of work"


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_failed_save_leaves_the_old_bundle(
    name: str, tmp_path: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle().save(tmp_path / name)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(BundleError, match="No space left"):
        make_bundle("abmil").save(tmp_path / name)
    assert Bundle.load(tmp_path / name).config.architecture == "kat"
    assert [path.name for path in tmp_path.iterdir()] == [name]


# --- the demonstration bundle ----------------------------------------------------------------------------------------


def test_the_default_is_the_demonstration_bundle(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundle_module, "DEMO_FOLDER", folder)
    assert Bundle.load().hash == Bundle.load(folder).hash
    monkeypatch.setattr(bundle_module, "DEMO_FOLDER", tmp_path / "absent")
    with pytest.raises(BundleError, match="absent"):
        Bundle.load()


def test_the_demonstration_bundle_of_the_package() -> None:
    if not DEMO_FOLDER.is_dir():
        pytest.skip("the demonstration bundle has not been trained in this checkout")
    bundle = Bundle.load()
    assert bundle.is_demo and bundle.classes == ("0", "1+", "2+", "3+")
    assert sum(file.stat().st_size for file in DEMO_FOLDER.iterdir()) <= 2 * 2**20
