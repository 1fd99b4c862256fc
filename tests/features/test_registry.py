"""Extractors by name and by file: what is refused, and what the user is told."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from her2qp.errors import ExtractorError, WeightsNotFoundError
from her2qp.features import list_extractors, load_extractor, plip


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's own extractor: mean and maximum of each colour, for tiles of 32 px."""

    class MeanAndMaximum(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.cat([images.mean(dim=(2, 3)), images.amax(dim=(2, 3))], dim=1)

    path = tmp_path / "own.pt"
    torch.jit.trace(MeanAndMaximum(), torch.zeros(1, 3, 32, 32)).save(str(path))
    describe(path)
    return path


def describe(path: Path, **changes: object) -> None:
    description: dict[str, object] = {
        "id": "own",
        "dimension": 6,
        "tile_px": 32,
        "mpp": 1.0,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "licence": "CC0-1.0",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    description |= changes
    kept = {key: value for key, value in description.items() if value is not None}
    path.with_suffix(".yaml").write_text(yaml.safe_dump(kept), encoding="utf-8")


def test_the_default_is_there_and_says_what_it_is() -> None:
    listing = {entry.id: entry for entry in list_extractors()}
    assert listing["efficientnet-lite0"].available
    assert "knows no pathology" in listing["efficientnet-lite0"].info.note
    assert set(listing) == {"efficientnet-lite0", "plip"}


def test_an_unknown_name_names_the_known() -> None:
    with pytest.raises(ExtractorError, match="efficientnet-lite0, plip"):
        load_extractor("resnet50")


@pytest.mark.parametrize("by", ["network", "description"])
def test_a_users_own_network(own: Path, by: str) -> None:
    extractor = load_extractor(own if by == "network" else own.with_suffix(".yaml"))
    tiles = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    images = (tiles / 255.0 - 0.5) / 0.25
    expected = np.concatenate([images.mean(axis=(1, 2)), images.max(axis=(1, 2))], axis=1)
    np.testing.assert_allclose(extractor(tiles), expected, atol=1e-3)
    assert (extractor.info.mpp, extractor.info.tile_px, extractor.info.dimension) == (1.0, 32, 6)


def test_another_file_than_described_is_refused(own: Path) -> None:
    own.write_bytes(own.read_bytes() + b"\0")
    with pytest.raises(ExtractorError, match="not the expected ones"):
        load_extractor(own)


def test_a_file_that_is_no_torchscript_is_refused(own: Path) -> None:
    own.write_bytes(b"not a network")
    describe(own)
    with pytest.raises(ExtractorError, match="no TorchScript file"):
        load_extractor(own)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": None}, "sha256: Field required"),
        ({"std": [0.2, 0.0, 0.2]}, r"std\.1"),
        ({"mpp": 72.0}, "mpp"),
        ({"normalize": True}, "normalize: Extra inputs"),
        ({"id": "../../own"}, "id"),
        ({"dimension": 7}, "Correct `dimension`"),
    ],
)
def test_a_wrong_description_is_refused(own: Path, changes: dict[str, object], message: str) -> None:
    describe(own, **changes)
    with pytest.raises(ExtractorError, match=message):
        load_extractor(own)


@pytest.mark.parametrize("text", [b"", b"\xff\xfe\xfd", b"a: [", b"[" * 20000, b"just words"])
def test_a_description_that_is_none_is_refused(own: Path, text: bytes) -> None:
    own.with_suffix(".yaml").write_bytes(text)
    with pytest.raises(ExtractorError, match="description is"):
        load_extractor(own)


def test_missing_files_are_told(own: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="no description"):
        load_extractor(own.with_name("other.pt"))
    own.unlink()
    with pytest.raises(WeightsNotFoundError, match="no TorchScript file"):
        load_extractor(own)


def test_a_description_runs_nothing(own: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    own.with_suffix(".yaml").write_text(f"!!python/object/apply:pathlib.Path.touch [{witness}]", encoding="utf-8")
    with pytest.raises(ExtractorError, match="not YAML"):
        load_extractor(own)
    assert not witness.exists()


def test_plip_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plip.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(WeightsNotFoundError, match=rf"hf download vinid/plip.*HF_HOME.*{plip.FOLDER_VARIABLE}"):
        load_extractor("plip")


@pytest.fixture
def clip_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CLIP model of PLIP's form and random numbers, as the hub's tools would leave it."""
    transformers = pytest.importorskip("transformers", reason="needs the plip extra")
    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**tower, "image_size": 224, "patch_size": 32}
    text = {**tower, "vocab_size": 99}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=512)
    transformers.CLIPModel(config).save_pretrained(tmp_path / "clip")
    monkeypatch.setenv(plip.FOLDER_VARIABLE, str(tmp_path / "clip"))
    return tmp_path / "clip"


def test_plip_gives_what_get_image_features_gives(clip_folder: Path) -> None:
    import transformers

    clip = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    size = {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}
    processor = transformers.CLIPImageProcessor(image_mean=list(plip.INFO.mean), image_std=list(plip.INFO.std), **size)
    tiles = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    with torch.no_grad():
        features = clip.get_image_features(**processor(images=list(tiles), return_tensors="pt"))
    expected = getattr(features, "pooler_output", features).numpy()
    extractor = load_extractor("plip")
    np.testing.assert_allclose(extractor(tiles), expected, atol=5e-3 * float(np.abs(expected).max()))
    weights = (clip_folder / "model.safetensors").read_bytes()
    assert extractor.info.weights_sha256 == hashlib.sha256(weights).hexdigest()
    assert {entry.id: entry.available for entry in list_extractors()}["plip"]


def test_a_folder_of_something_else_is_refused(clip_folder: Path) -> None:
    (clip_folder / "model.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ExtractorError, match="no CLIP model"):
        load_extractor("plip")


def test_weights_with_holes_are_refused(clip_folder: Path) -> None:
    weights = load_file(clip_folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, clip_folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExtractorError, match="lack 1 of the model's parts"):
        load_extractor("plip")


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, her2qp; raise SystemExit('torch' in sys.modules or 'h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
