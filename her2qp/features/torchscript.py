"""A user's own extractor: a TorchScript file, and a small YAML file beside it that describes it.

.. warning::
   A TorchScript file is a program. Loading one runs what its author wrote, so load only files whose origin you
   trust; the SHA-256 in the description makes sure that it is the file that was described, not that it is harmless.

The description of ``mine.pt`` is ``mine.yaml``::

    id: mine
    dimension: 768
    tile_px: 256
    mpp: 0.5
    mean: [0.485, 0.456, 0.406]
    std: [0.229, 0.224, 0.225]
    licence: CC-BY-4.0
    sha256: 0123...          # of mine.pt
    input_px: 224            # optional: resample tiles to this side
    note: What a user of these features must know.   # optional

The network gets normalised float32 images (n, 3, side, side) and gives float32 features (n, dimension).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from her2qp.errors import ExtractorError, WeightsNotFoundError
from her2qp.features.info import ExtractorInfo
from her2qp.features.weights import require_sha256

SUFFIXES = (".pt", ".ts", ".torchscript")

_MAX_DESCRIPTION_BYTES = 1 << 16

Positive = Annotated[float, Field(gt=0, le=10)]
Share = Annotated[float, Field(ge=-10, le=10)]


class Description(BaseModel):
    """Content of the YAML file; see the module for an example."""

    model_config = ConfigDict(extra="forbid", strict=False)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    dimension: Annotated[int, Field(ge=1, le=1 << 16)]
    tile_px: Annotated[int, Field(ge=16, le=4096)]
    mpp: Annotated[float, Field(ge=0.05, le=5)]
    mean: tuple[Share, Share, Share]
    std: tuple[Positive, Positive, Positive]
    licence: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")]
    input_px: Annotated[int, Field(ge=16, le=4096)] | None = None
    note: str = "An extractor of the user's own; its description says no more."

    def info(self) -> ExtractorInfo:
        """The extractor that is described."""
        fields = self.model_dump(exclude={"sha256"})
        return ExtractorInfo(**fields, weights_sha256=self.sha256.lower())


def verified_info(path: Path) -> ExtractorInfo:
    """The extractor, after its file has been found to be the one that is described.

    Parameters
    ----------
    path
        The TorchScript file or its description.

    Raises
    ------
    WeightsNotFoundError
        One of the two files is missing.
    ExtractorError
        The description is wrong, or the file is another one than described.
    """
    description = _read_description(path.with_suffix(".yaml"))
    remedy = "If the new file is meant, describe it anew: `id`, `sha256` and whatever else has changed."
    require_sha256(_network_file(path), description.sha256, remedy)
    return description.info()


def load_backbone(path: Path) -> nn.Module:
    """The network in evaluation mode. Runs the file's program, see the module's warning.

    Raises
    ------
    WeightsNotFoundError
        There is no such file.
    ExtractorError
        It is no TorchScript file.
    """
    file = _network_file(path)
    try:
        network: nn.Module = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ExtractorError(f"this is no TorchScript file ({error})", where=file) from error
    return network.eval()


def _network_file(path: Path) -> Path:
    candidates = [path.with_suffix(suffix) for suffix in SUFFIXES] if path.suffix == ".yaml" else [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise WeightsNotFoundError(
        "there is no TorchScript file", where=path, remedy=f"Known endings: {', '.join(SUFFIXES)}."
    )


def _read_description(path: Path) -> Description:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_DESCRIPTION_BYTES)
        return Description.model_validate(yaml.safe_load(text))
    except OSError as error:
        remedy = "Put a YAML file of the same name beside the TorchScript file."
        raise WeightsNotFoundError("the extractor has no description", where=path, remedy=remedy) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ExtractorError(f"the description is not YAML ({error})", where=path) from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors())
        raise ExtractorError(f"the description is wrong ({problems})", where=path) from error
