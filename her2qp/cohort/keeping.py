"""Which features of a cohort stay in memory: those of as many slides as fit; the others are read whenever wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2qp.cohort.featurefolder import read_features
from her2qp.errors import CohortError
from her2qp.models.bag import Bag

MEMORY_GB = 2.0
"""What features may take unless somebody says otherwise: five times those of 350 slides of 500 tiles, 512-d."""


@dataclass(frozen=True, slots=True, eq=False)
class FeaturesOnDisk:
    """Features that are read from their file each time.

    Parameters
    ----------
    path
        An HDF5 file of any known program.
    shape
        Tiles and dimension, as they were when the file was looked through.
    rows
        Of the file, in the order of the tiles; None: all of them.
    """

    path: Path
    shape: tuple[int, int]
    rows: NDArray[np.int64] | None = None

    def read(self) -> NDArray[np.float32]:
        """The features, shape (n, d), float32.

        Raises
        ------
        CohortError
            The file cannot be read any more, or is another by now.
        """
        features = read_features(self.path).features
        if self.rows is not None and self.rows.max() < len(features):
            features = features[self.rows]
        if features.shape != self.shape:
            raise CohortError(
                f"the feature file was replaced while it was in use: {features.shape}, not {self.shape}",
                where=self.path,
                remedy="Run the command again.",
            )
        return features


class Memory:
    """Room for features.

    Parameters
    ----------
    gigabytes
        How much.
    """

    def __init__(self, gigabytes: float) -> None:
        self._left = gigabytes * 1e9

    def keep(self, bag: Bag, path: Path, rows: NDArray[np.int64] | None = None) -> Bag:
        """The bag as it is while there is room for it, else one that reads its features from the file each time.

        Parameters
        ----------
        bag
            With its features, which are thereby known to be sound.
        path, rows
            Where they come from.
        """
        size = bag.features.nbytes
        if size > self._left:
            return replace(bag, content=FeaturesOnDisk(path, (len(bag), bag.dimension), rows))
        self._left -= size
        return bag
