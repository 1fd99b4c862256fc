"""Features that other programs, or her2qp's own store, keep in one HDF5 file a slide.

Which program wrote a file is told by its keys: TRIDENT ``features`` and ``coords`` with ``patch_size_level0``; CLAM
``features`` and ``coords`` with ``patch_level``, or with nothing; STAMP ``feats`` and ``coords`` in µm; her2qp
TRIDENT's keys and its own ``bounds``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

import h5py
import numpy as np
from numpy.typing import NDArray

from her2qp.cohort.patients import slide_stem
from her2qp.errors import CohortError, FeatureStoreError
from her2qp.features.attributes import read_attributes, require_sound_heaps
from her2qp.features.feature_file import FeatureFile

_LARGEST_BYTES = 16 << 30
_LARGEST_RATIO = 1000
"""How much smaller than its content a compressed file may be."""
_OBJECTIVE_UM = 10.0
"""Magnification times µm/px: 20x is 0.5 µm/px by the field's convention."""
_DAMAGED = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, ArithmeticError)
"""What h5py, and the use of what it read, may raise."""
_STORE_KEY = re.compile(r"\.[0-9a-f]{16}$")


@dataclass(frozen=True, slots=True, eq=False)
class SlideFeatures:
    """What a file says of the tiles of a slide.

    Parameters
    ----------
    path
        The file.
    dialect
        Who wrote it: ``TRIDENT``, ``CLAM``, ``STAMP`` or ``her2qp``.
    features
        float32 (n, d).
    corners
        Top-left corners, float64 (n, 2), in the unit of `side`.
    side
        Side of a tile: in level-0 pixels, or in µm for STAMP.
    in_um
        Whether that unit is µm.
    extractor
        Name of the extractor; the name of the folder where the file does not say.
    tile_px
        Side of the tile that the extractor saw, in pixels; None if the file does not say.
    nominal_mpp
        Pixel size of that tile as the file says, or as its magnification means by convention; None without either.
    fingerprint
        Of her2qp's extractor; empty for those of others.
    """

    path: Path
    dialect: str
    features: NDArray[np.float32]
    corners: NDArray[np.float64]
    side: float
    in_um: bool
    extractor: str
    tile_px: int | None
    nominal_mpp: float | None
    fingerprint: str = ""


class FeatureFolder:
    """A folder of feature files.

    Parameters
    ----------
    folder
        That holds the ``.h5`` files, itself or in a folder ``h5_files`` as CLAM has it.

    Raises
    ------
    CohortError
        There is no such folder, or no ``.h5`` file in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = [*sorted(folder.rglob("*.h5"))] if folder.is_dir() else []
        direct = [f for f in files if f.parent in (folder, folder / "h5_files")]
        self._files: dict[str, list[Path]] = {}
        for file in direct or files:
            for name in {file.stem, _STORE_KEY.sub("", file.stem)}:
                self._files.setdefault(name, []).append(file)
        if not self._files:
            what = "there is no .h5 file in this folder" if folder.is_dir() else "there is no such folder of features"
            raise CohortError(what, where=folder)

    def find(self, filename: str) -> Path:
        """File of a slide.

        Raises
        ------
        CohortError
            There is none, or there are several.
        """
        name = PurePath(filename.replace("\\", "/")).name
        found = self._files.get(name) or self._files.get(slide_stem(filename)) or []
        if len(found) != 1:
            what = "no feature file" if not found else f"{len(found)} feature files ({', '.join(map(str, found))})"
            raise CohortError(
                f"there is {what} of slide {filename}" if not found else f"slide {filename} has {what}",
                where=self.folder,
                remedy=f"Extract its features to {slide_stem(filename)}.h5, or take the slide out of the table."
                if not found
                else "Name the folder that holds one of them only.",
            )
        return found[0]


def read_features(path: Path) -> SlideFeatures:
    """Read a feature file of any known program.

    Raises
    ------
    CohortError
        The file cannot be read, is of no known kind, or its arrays do not fit together.
    """
    try:
        require_sound_heaps(path)
        with h5py.File(path, "r", locking=False) as file:
            if "her2qp_key" in file.attrs:
                return _her2qp(file, path)
            if "feats" in file and "coords" in file:
                return _stamp(file, path)
            if "features" in file and "coords" in file:
                return _trident_or_clam(file, path)
            keys = ", ".join(sorted(map(str, file))) or "nothing"
    except (FeatureStoreError, *_DAMAGED) as error:
        raise CohortError(f"the feature file cannot be read ({error})", where=path) from error
    raise CohortError(
        f"this is no feature file of TRIDENT, CLAM, STAMP or her2qp: it holds {keys}",
        where=path,
        remedy="Wanted are `features` or `feats`, and `coords`.",
    )


def _her2qp(file: h5py.File, path: Path) -> SlideFeatures:
    stored = FeatureFile.read(path)
    attributes = read_attributes(file["coords"], "patch_size", "target_magnification")
    about = read_attributes(file["features"], "encoder", "her2qp_fingerprint")
    return SlideFeatures(
        path=path,
        dialect="her2qp",
        features=stored.features,
        corners=stored.bounds[:, :2],
        side=float(np.median(stored.bounds[:, 2] - stored.bounds[:, 0])) if len(stored.bounds) else 1.0,
        in_um=False,
        extractor=str(about["encoder"]),
        tile_px=int(attributes["patch_size"]),
        nominal_mpp=_OBJECTIVE_UM / float(attributes["target_magnification"]),
        fingerprint=str(about["her2qp_fingerprint"]),
    )


def _stamp(file: h5py.File, path: Path) -> SlideFeatures:
    attributes = read_attributes(file, "unit", "tile_size_um", "tile_size_px", "extractor")
    unit = attributes.get("unit", "um")
    if unit not in ("um", "µm", "μm"):
        raise ValueError(f"its coordinates are in {unit!r}, not in um")
    features, corners = _arrays(file["feats"], file["coords"], path)
    side = float(attributes.get("tile_size_um", 0)) or _grid_step(corners)
    tile_px = int(attributes["tile_size_px"]) if "tile_size_px" in attributes else None
    return SlideFeatures(
        path=path,
        dialect="STAMP",
        features=features,
        corners=corners,
        side=side,
        in_um=True,
        extractor=str(attributes.get("extractor", path.parent.name)),
        tile_px=tile_px,
        nominal_mpp=side / tile_px if tile_px else None,
    )


def _trident_or_clam(file: h5py.File, path: Path) -> SlideFeatures:
    features, corners = _arrays(file["features"], file["coords"], path)
    attributes = read_attributes(
        file["coords"], "patch_size", "patch_size_level0", "target_magnification", "downsample"
    )
    extractor = read_attributes(file["features"], "encoder").get("encoder")
    tile_px = int(attributes["patch_size"]) if "patch_size" in attributes else None
    if "patch_size_level0" in attributes:
        magnification = float(attributes.get("target_magnification", 0))
        return SlideFeatures(
            path, "TRIDENT", features, corners, float(attributes["patch_size_level0"]), False,
            str(extractor or path.parent.name), tile_px, _OBJECTIVE_UM / magnification if magnification > 0 else None,
        )  # fmt: skip
    downsample = float(np.max(attributes.get("downsample", 1.0)))
    side = tile_px * downsample if tile_px else _grid_step(corners)
    folder = path.parent.parent.name if path.parent.name == "h5_files" else path.parent.name
    return SlideFeatures(path, "CLAM", features, corners, side, False, str(extractor or folder), tile_px, None)


def _arrays(
    features: h5py.Dataset, coords: h5py.Dataset, path: Path
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    for dataset in (features, coords):
        allowed = min(_LARGEST_BYTES, _LARGEST_RATIO * path.stat().st_size)
        chunk_bytes = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        if dataset.dtype.kind not in "fiu" or dataset.nbytes > allowed or chunk_bytes > allowed:
            raise ValueError(f"`{dataset.name}` is {dataset.dtype} {dataset.shape}")
    values = np.asarray(features[()], np.float32)
    if values.ndim == 3 and len(values) == 1:  # some versions of TRIDENT and CLAM keep the axis of the batch
        values = values[0]
    places = np.asarray(coords[()], np.float64)
    if values.ndim != 2 or places.ndim != 2 or places.shape[1] != 2 or len(values) != len(places):
        raise ValueError(f"features of shape {values.shape} do not fit to coords of shape {places.shape}")
    return values, places


def _grid_step(corners: NDArray[np.float64]) -> float:
    """Distance of neighbouring tiles: the side of a tile where tiles do not overlap; 0 if it cannot be told."""
    steps = [np.diff(np.unique(axis)) for axis in corners.T]
    return float(min((step.min() for step in steps if len(step)), default=0.0))
