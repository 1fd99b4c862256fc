"""A folder of features, so that a second run reads no pixel.

One file belongs to one slide (told by size, time and a hash of its beginning and end), one tile size on the slide,
and one extractor (weights and preprocessing). Rows are found by the exact bounds of their tiles, so an annotation
that grows costs only the new tiles. The runtime is not part of the key, since all runtimes agree within a tolerance.

The store is a cache: a file that is damaged or cannot be written costs time and a warning, never a run.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import FeatureStoreError
from her2qp.features.extractor import Extractor
from her2qp.features.feature_file import Attributes, FeatureFile
from her2qp.features.info import ExtractorInfo
from her2qp.slides import Slide

_log = logging.getLogger(__name__)

_OBJECTIVE_UM = 10.0
"""Magnification times µm/px: 20x is 0.5 µm/px by the field's convention."""


@dataclass(frozen=True, slots=True)
class KnownFeatures:
    """What the store has of the tiles it was asked for.

    Parameters
    ----------
    rows
        int64 (n,): row of the tile in its file, -1 where it is not known.
    features
        float32 (n, d); rows that were not found are undefined.
    """

    rows: NDArray[np.int64]
    features: NDArray[np.float32]

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether the tile's features are known, bool (n,)."""
        return self.rows >= 0


class FeatureStore:
    """Features of slides, kept in a folder.

    Parameters
    ----------
    folder
        Where the files are. Made when the first file is written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def path(self, slide: Slide, info: ExtractorInfo, bounds: NDArray[np.float64]) -> Path:
        """File that holds the features of these tiles, whether it exists or not.

        Parameters
        ----------
        slide
            The slide, of which a few bytes are read.
        info
            The extractor.
        bounds
            float64 (n, 4), n at least 1.

        Raises
        ------
        OSError
            The slide file cannot be read.
        """
        stem = re.sub(r"[^\w.-]+", "_", slide.path.stem)[:80]
        grid = f"{_OBJECTIVE_UM / info.mpp:.4g}x_{info.tile_px}px"
        encoder = re.sub(r"[^\w.-]+", "_", info.id)
        return self.folder / grid / f"features_{encoder}" / f"{stem}.{_key(slide, info, bounds)[:16]}.h5"

    def load(self, slide: Slide, info: ExtractorInfo, bounds: NDArray[np.float64]) -> KnownFeatures:
        """Look up tiles.

        Parameters
        ----------
        slide, info, bounds
            As for :meth:`path`; no tiles are no problem.
        """
        n = len(bounds)
        known = KnownFeatures(np.full(n, -1), np.empty((n, info.dimension), dtype=np.float32))
        stored = self._read(slide, info, bounds) if n else None
        if stored is not None:
            row_of = {bounds_of_row: row for row, bounds_of_row in enumerate(_rows(stored.bounds))}
            known.rows[:] = [row_of.get(row, -1) for row in _rows(bounds)]
            known.features[known.found] = stored.features[known.rows[known.found]]
        return known

    def add(
        self, slide: Slide, extractor: Extractor, bounds: NDArray[np.float64], features: NDArray[np.float32]
    ) -> bool:
        """Keep features of tiles that the store did not know, and say whether that was possible.

        Parameters
        ----------
        slide
            The slide.
        extractor
            What made the features.
        bounds
            float64 (n, 4).
        features
            float32 (n, d).
        """
        if not len(bounds):
            return True
        info = extractor.info
        stored = self._read(slide, info, bounds)
        if stored is not None:
            bounds = np.concatenate([stored.bounds, bounds])
            features = np.concatenate([stored.features, features])
        order = np.lexsort((bounds[:, 0], bounds[:, 1]))
        try:
            path = self.path(slide, info, bounds)
            FeatureFile(
                key=_key(slide, info, bounds),
                features=features[order],
                bounds=bounds[order] + 0.0,
                feature_attributes={
                    "name": slide.path.stem,
                    "encoder": info.id,
                    "savetodir": str(path.parent),
                    "her2qp_fingerprint": info.fingerprint,
                    "her2qp_runtime": extractor.runtime,
                },
                coords_attributes=_coords_attributes(slide, info, bounds) | {"savetodir": str(path.parent)},
            ).write(path)
        except OSError as error:
            _log.warning("%s: the features cannot be kept for the next run (%s)", self.folder, error)
            return False
        return True

    def _read(self, slide: Slide, info: ExtractorInfo, bounds: NDArray[np.float64]) -> FeatureFile | None:
        """The file of these tiles; None where there is none, or none that can be trusted."""
        try:
            stored = FeatureFile.read(self.path(slide, info, bounds))
        except FileNotFoundError:
            return None
        except (FeatureStoreError, OSError) as error:
            _log.warning("%s. The features are computed again.", error)
            return None
        return stored if stored.key == _key(slide, info, bounds) else None


def _rows(bounds: NDArray[np.float64]) -> list[bytes]:
    """Each row as bytes that are equal where the bounds are equal (adding 0.0 makes -0.0 a plain zero)."""
    return [row.tobytes() for row in bounds + 0.0]


def _side0(bounds: NDArray[np.float64]) -> float:
    """Side of a tile in level-0 pixels, free of the rounding of its position."""
    return round(float(np.median(bounds[:, 2] - bounds[:, 0])), 3)


def _key(slide: Slide, info: ExtractorInfo, bounds: NDArray[np.float64]) -> str:
    """What features belong to, as 64 hex digits."""
    parts = (slide.identity(), slide.size, _side0(bounds), info.fingerprint)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _coords_attributes(slide: Slide, info: ExtractorInfo, bounds: NDArray[np.float64]) -> Attributes:
    """TRIDENT's description of the tile grid."""
    side0 = _side0(bounds)
    return {
        "name": slide.path.stem,
        "patch_size": info.tile_px,
        "patch_size_level0": round(side0),
        "level0_magnification": round(_OBJECTIVE_UM / info.mpp * side0 / info.tile_px),
        "target_magnification": round(_OBJECTIVE_UM / info.mpp),
        "overlap": _overlap_px(info, bounds),
        "level0_width": slide.size[0],
        "level0_height": slide.size[1],
    }


def _overlap_px(info: ExtractorInfo, bounds: NDArray[np.float64]) -> int:
    """Overlap of neighbouring tiles in pixels of the tile, from the closest columns."""
    steps = np.diff(np.unique(bounds[:, 0].round(3)))
    side0 = _side0(bounds)
    return max(0, round((side0 - float(steps.min())) / side0 * info.tile_px)) if len(steps) else 0
