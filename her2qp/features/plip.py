"""PLIP (``vinid/plip``): CLIP ViT-B/32 tuned on pathology images and their captions from Twitter.

Features are the raw 512 numbers of ``get_image_features`` (image tower, projected, not normalised to unit length).
her2qp never downloads it: its licence is unclear, and where the weights come from is the user's decision.

Source: Huang et al., Nature Medicine 2023, https://huggingface.co/vinid/plip.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError

from safetensors import SafetensorError
from torch import Tensor, nn

from her2qp.errors import ExtractorError, WeightsNotFoundError
from her2qp.features.info import ExtractorInfo
from her2qp.features.weights import file_sha256

FOLDER_VARIABLE = "HER2QP_PLIP"
"""Environment variable that names a folder with ``config.json`` and the weights."""

INFO = ExtractorInfo(
    id="plip",
    dimension=512,
    tile_px=256,
    mpp=0.5,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    weights_sha256="",
    licence="unclear: the code says MIT, the weights say nothing",
    note="Trained on pathology images from the web; tiles are resampled to 224 px, so they are seen at 0.57 µm/px.",
    input_px=224,
)

_REPOSITORY = "vinid/plip"
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_INSTALL = 'Install its code with: pip install "her2qp[plip]"'
_DOWNLOAD = (
    f"Download the weights once with `hf download {_REPOSITORY}` (they go where HF_HOME says), "
    f"or set {FOLDER_VARIABLE} to a folder that holds config.json and {' or '.join(_WEIGHT_FILES)}"
)


class _ImageFeatures(nn.Module):
    """The image tower and its projection."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.tower = clip.vision_model
        self.projection = clip.visual_projection

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.projection(self.tower(pixel_values=images, return_dict=False)[1])  # type: ignore[operator]
        return features


def how_to_get() -> str | None:
    """What to do to get code and weights; None where both are at hand."""
    missing = [] if find_spec("transformers") else [_INSTALL]
    if _weights_file() is None:
        missing.append(_DOWNLOAD)
    return ". ".join(missing) or None


def verified_info() -> ExtractorInfo:
    """The extractor with the hash of the weights that are at hand.

    Raises
    ------
    WeightsNotFoundError
        The code or the weights are missing.
    """
    return replace(INFO, weights_sha256=file_sha256(_require_weights()))


def load_backbone() -> nn.Module:
    """The network in evaluation mode, from the local folder alone.

    Raises
    ------
    WeightsNotFoundError
        The code or the weights are missing.
    ExtractorError
        The folder holds something else than a CLIP model.
    """
    folder = _require_weights().parent
    from transformers import CLIPModel

    try:
        clip, loading = CLIPModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, KeyError, UnpicklingError, SafetensorError) as error:
        raise ExtractorError(f"the folder holds no CLIP model ({error})", where=folder, remedy=_DOWNLOAD) from error
    if loading["missing_keys"]:  # transformers would fill them with random numbers and say so in a log
        what = f"the weights lack {len(loading['missing_keys'])} of the model's parts"
        raise ExtractorError(what, where=folder, remedy=_DOWNLOAD)
    return _ImageFeatures(clip).eval()


def _require_weights() -> Path:
    missing = how_to_get()
    weights = _weights_file()
    if missing is not None or weights is None:
        raise WeightsNotFoundError("code or weights are not at hand", where=INFO.id, remedy=missing)
    return weights


def _weights_file() -> Path | None:
    """The weight file in the folder that the user names, else in the cache of the hub; never asks the network."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    folder = Path(chosen) if chosen else _hub_folder()
    if folder is None or not (folder / "config.json").is_file():
        return None
    return next((folder / name for name in _WEIGHT_FILES if (folder / name).is_file()), None)


def _hub_folder() -> Path | None:
    """Where the hub's own tools have put the model."""
    if find_spec("transformers") is None:
        return None
    from transformers.utils import cached_file

    try:
        configuration = cached_file(_REPOSITORY, "config.json", local_files_only=True)
    except OSError:
        return None
    return Path(configuration).parent if configuration else None
