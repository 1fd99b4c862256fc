"""One HDF5 file of features in TRIDENT's layout, with what her2qp adds to trust and find its rows.

TRIDENT's part: datasets ``features`` (n, d) and ``coords`` (n, 2), the top-left corners in level-0 pixels, with their
attributes. Chunks hold 256 rows instead of TRIDENT's one, which makes reading many times faster and which every
reader of the layout understands. her2qp adds the exact ``bounds`` (n, 4), a key and a checksum.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import numpy as np
from numpy.typing import NDArray

from her2qp.errors import FeatureStoreError
from her2qp.features.attributes import read_text, write_text

CHUNK_ROWS = 256

Attributes = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """The content of a feature file.

    Parameters
    ----------
    key
        What the features belong to: slide, grid and extractor.
    features
        float32 (n, d).
    bounds
        float64 (n, 4): x0, y0, x1, y1 in level-0 pixels.
    feature_attributes, coords_attributes
        TRIDENT's attributes of the two datasets. Not read back.
    """

    key: str
    features: NDArray[np.float32]
    bounds: NDArray[np.float64]
    feature_attributes: Attributes
    coords_attributes: Attributes

    @property
    def checksum(self) -> str:
        """SHA-256 over key, features and bounds."""
        digest = hashlib.sha256(self.key.encode())
        digest.update(np.ascontiguousarray(self.features).data)
        digest.update(np.ascontiguousarray(self.bounds).data)
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write beside, then replace, so that a reader sees the old file or the new one and nothing between.

        Raises
        ------
        OSError
            The file cannot be written: no permission, disk full.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.stem}.{uuid4().hex}.part")
        try:
            with h5py.File(beside, "w") as file:
                self._fill(file)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def _fill(self, file: h5py.File) -> None:
        write_text(file, "her2qp_key", self.key)
        write_text(file, "her2qp_checksum", self.checksum)
        corners = np.rint(self.bounds[:, :2]).astype(np.int64)
        arrays: dict[str, NDArray[Any]] = {"features": self.features, "coords": corners, "bounds": self.bounds}
        for name, array in arrays.items():
            width = array.shape[1]
            file.create_dataset(name, data=array, chunks=(CHUNK_ROWS, width), maxshape=(None, width))
        file["features"].attrs.update(self.feature_attributes)
        file["coords"].attrs.update(self.coords_attributes)

    @classmethod
    def read(cls, path: Path) -> FeatureFile:
        """Read a file that :meth:`write` wrote, and make sure that nothing in it has changed.

        Raises
        ------
        FeatureStoreError
            The file is damaged, truncated, or not written by her2qp.
        FileNotFoundError
            There is no such file.
        """
        try:
            with h5py.File(path, "r", locking=False) as file:
                key, checksum = read_text(file, "her2qp_key"), read_text(file, "her2qp_checksum")
                features = _read_array(file["features"], np.dtype(np.float32), path)
                bounds = _read_array(file["bounds"], np.dtype(np.float64), path)
        except FileNotFoundError:
            raise
        except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise FeatureStoreError(f"the feature file is damaged ({error})", where=path) from error
        content = cls(key, features, bounds, {}, {})
        if len(features) != len(bounds) or bounds.shape[1] != 4 or content.checksum != checksum:
            raise FeatureStoreError("the feature file is damaged (its checksum is wrong)", where=path)
        return content


def _read_array(dataset: h5py.Dataset, dtype: np.dtype[Any], path: Path) -> NDArray[Any]:
    """A whole two-dimensional dataset; one that claims more than the file can hold is refused before it is read."""
    size = path.stat().st_size
    if dataset.ndim != 2 or dataset.dtype != dtype or dataset.nbytes > size:
        raise ValueError(f"`{dataset.name}` is {dataset.dtype} {dataset.shape}")
    chunk_bytes = math.prod(dataset.chunks or ()) * dtype.itemsize  # what the library sets aside to read one
    if dataset.id.get_create_plist().get_nfilters() or dataset.external or dataset.is_virtual or chunk_bytes > size:
        raise ValueError(f"`{dataset.name}` is not stored as it should be")
    return np.asarray(dataset[:])
