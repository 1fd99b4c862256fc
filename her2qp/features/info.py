"""What an extractor is: everything that decides which numbers it makes of a tile."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

RGB = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ExtractorInfo:
    """The identity of a feature extractor.

    Two extractors with the same `fingerprint` make the same features (within the tolerance of the runtimes, see
    :mod:`her2qp.features.runtimes`); anything else must not meet the same model head.

    Parameters
    ----------
    id
        Name of the extractor, for instance ``efficientnet-lite0``.
    dimension
        Number of features a tile.
    tile_px
        Side of the square tile that goes in, in pixels.
    mpp
        Pixel size that the tile must have, in µm.
    mean, std
        Normalisation of red, green and blue after scaling to 0..1: ``(rgb / 255 - mean) / std``.
    weights_sha256
        SHA-256 of the weights as 64 hex digits; empty where the weights are not at hand.
    licence
        Licence of the weights.
    note
        What a user of the features must know about them, as a sentence.
    input_px
        Side to which the tile is resampled (bicubic, antialiased) before it enters the network. None: it is not.
    """

    id: str
    dimension: int
    tile_px: int
    mpp: float
    mean: RGB
    std: RGB
    weights_sha256: str
    licence: str
    note: str
    input_px: int | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, preprocessing and tile geometry as 64 hex digits; licence and note do not count."""
        decisive = {key: value for key, value in asdict(self).items() if key not in ("licence", "note")}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ExtractorListing:
    """An extractor that her2qp knows, and whether it can be used here.

    Parameters
    ----------
    info
        The extractor; its `weights_sha256` is empty where the weights are not at hand and not pinned.
    how_to_get
        What to do to get what is missing, as a sentence; None where nothing is.
    """

    info: ExtractorInfo
    how_to_get: str | None

    @property
    def id(self) -> str:
        """Name of the extractor."""
        return self.info.id

    @property
    def available(self) -> bool:
        """Whether package and weights are at hand."""
        return self.how_to_get is None
