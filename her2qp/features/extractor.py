"""Tiles in, features out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import ExtractorError
from her2qp.features.info import ExtractorInfo
from her2qp.features.runtimes.base import Run


class Extractor:
    """A feature extractor, ready to run.

    Made by :func:`~her2qp.features.registry.load_extractor`. Uses several threads itself, and is to be called from one
    thread at a time.

    Parameters
    ----------
    info
        What it is.
    runtime
        Name of the runtime that computes: ``eager``, ``compiled``, ``onnx`` or ``openvino``.
    run
        The runtime, for full batches only.
    batch_size
        Number of tiles of a full batch.
    choice
        How the runtime was chosen, as a sentence for logs and run records.
    """

    def __init__(self, info: ExtractorInfo, runtime: str, run: Run, batch_size: int, choice: str) -> None:
        self.info = info
        self.runtime = runtime
        self.batch_size = batch_size
        self.choice = choice
        self._run = run

    def __repr__(self) -> str:
        return f"Extractor({self.info.id!r}, runtime={self.runtime!r}, batch_size={self.batch_size})"

    def __call__(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features of tiles.

        The last batch is filled up with white, so a tile's features are the same whatever came with it.

        Parameters
        ----------
        tiles
            uint8 (n, tile_px, tile_px, 3), RGB.

        Returns
        -------
        NDArray
            float32 (n, dimension), finite.

        Raises
        ------
        ExtractorError
            The tiles have another shape or type, or the network gives something else than finite numbers.
        """
        self._require_tiles(tiles)
        features = np.empty((len(tiles), self.info.dimension), dtype=np.float32)
        for start in range(0, len(tiles), self.batch_size):
            batch = np.ascontiguousarray(tiles[start : start + self.batch_size])
            missing = self.batch_size - len(batch)
            if missing:
                batch = np.concatenate([batch, np.full((missing, *tiles.shape[1:]), 255, dtype=np.uint8)])
            output = self._run(batch)
            self._require_finite(output)
            features[start : start + self.batch_size] = output[: self.batch_size - missing]
        return features

    def _require_tiles(self, tiles: NDArray[np.uint8]) -> None:
        side = self.info.tile_px
        if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[1:] != (side, side, 3):
            what = f"tiles must be uint8 (n, {side}, {side}, 3), not {tiles.dtype} {tiles.shape}"
            raise ExtractorError(what, where=self.info.id)

    def _require_finite(self, output: NDArray[np.float32]) -> None:
        if not np.isfinite(output).all():
            what = f"the network gives features that are not finite numbers (runtime {self.runtime})"
            raise ExtractorError(what, where=self.info.id, remedy="Try the runtime `eager`.")
