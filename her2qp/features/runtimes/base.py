"""What a runtime is, and what it may rely on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2qp.features.info import ExtractorInfo
from her2qp.features.network import TileNetwork

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Maps a full batch (batch_size, tile_px, tile_px, 3) to features (batch_size, dimension)."""


@dataclass(frozen=True, slots=True)
class Job:
    """One network, to be run in batches of one size with a bounded number of threads.

    Parameters
    ----------
    info
        The extractor.
    network
        Gives the network in evaluation mode, on the CPU; loads it when first asked.
    batch_size
        Number of tiles of every batch.
    threads
        Number of threads that may compute.
    folder
        Folder for the converted network; belongs to this extractor, batch size, machine and versions alone.
    """

    info: ExtractorInfo
    network: Callable[[], TileNetwork]
    batch_size: int
    threads: int
    folder: Path

    @property
    def batch_shape(self) -> tuple[int, int, int, int]:
        """Shape of every batch."""
        return (self.batch_size, self.info.tile_px, self.info.tile_px, 3)


@dataclass(frozen=True, slots=True)
class Runtime:
    """A way to run a network.

    Parameters
    ----------
    name
        What a user calls it.
    missing
        Says what is missing to use it on this machine, as a sentence; None where nothing is.
    build
        Makes it ready for a job.

        Raises :class:`~her2qp.errors.ExtractorError` where it cannot run this network.
    """

    name: str
    missing: Callable[[], str | None]
    build: Callable[[Job], Run]
