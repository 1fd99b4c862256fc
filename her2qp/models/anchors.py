"""Where the kernels of a KAT sit: k-means on the tile coordinates, their number set by physical area.

After Zheng et al., "Kernel attention transformer (KAT)", MICCAI 2022, who count tiles per kernel (144 tiles of 112 µm);
an area in µm² means the same at every magnification and tile size.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial import cKDTree
from sklearn.cluster import kmeans_plusplus
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

Points = NDArray[np.float64]

REFERENCE_AREA_UM2 = 144 * 112.0**2
"""Tissue that one kernel of the published model serves: 144 tiles of 224 px at 0.5 µm/px, about 1.8 mm²."""

GRID_DECIMALS = 3
"""Tile coordinates are compared in thousandths of a tile, so that rounding errors of another origin do not matter."""


SAMPLE = 16
"""Places for each anchor among which k-means looks for a start."""


class AnchorConfig(BaseModel):
    """How many anchors a bag gets, and where.

    Parameters
    ----------
    area_um2
        Tissue area that one anchor serves, µm²; also the squared width of the first block's Gaussian.
    seed, starts, max_iterations
        Of k-means.
    duplicates
        Two centroids can have the same nearest tile. "drop" keeps one anchor there, "keep" both, as the
        published code does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    area_um2: float = Field(default=REFERENCE_AREA_UM2, gt=0, allow_inf_nan=False)
    seed: int = Field(default=9, ge=0, lt=2**32)
    starts: int = Field(default=1, ge=1, le=100)
    max_iterations: int = Field(default=10, ge=1, le=1000)
    duplicates: Literal["drop", "keep"] = "drop"


def count_anchors(tiles: int, tile_um: float, config: AnchorConfig) -> int:
    """Number of anchors for so many tiles: one, and one more for each full `area_um2`."""
    return int(min(tiles, tiles * tile_um**2 / config.area_um2 + 1))


def place_anchors(positions_um: NDArray[np.float64], tile_um: float, config: AnchorConfig) -> NDArray[np.float64]:
    """Choose the tiles that become anchors.

    The result depends neither on the order of the tiles nor on the origin of their coordinates.

    Parameters
    ----------
    positions_um
        Tile centres, shape (n, 2), float64, µm.
    tile_um
        Side of a tile, µm.

    Returns
    -------
    Centres of the chosen tiles, shape (k, 2), float64, µm, sorted by x, then y.
    """
    grid = np.round((positions_um - positions_um.min(axis=0)) / tile_um, GRID_DECIMALS)
    places, rows, weights = np.unique(grid, axis=0, return_index=True, return_counts=True)
    count = min(len(places), count_anchors(len(grid), tile_um, config))
    random = np.random.RandomState(config.seed)
    runs = [_k_means(places, weights, count, config.max_iterations, random) for _ in range(config.starts)]
    _, centroids = min(runs, key=lambda run: run[0])
    nearest = cKDTree(places).query(centroids)[1]
    chosen = np.unique(nearest) if config.duplicates == "drop" else np.sort(nearest)
    anchors: Points = positions_um[rows[chosen]]
    return anchors


@cache
def _threads() -> ThreadpoolController:
    """What sets the number of threads; looking for the libraries that have some takes longer than k-means."""
    return ThreadpoolController()


def _k_means(
    places: Points, weights: NDArray[np.intp], count: int, iterations: int, random: np.random.RandomState
) -> tuple[float, Points]:
    """Mean squared distance to the nearest centroid, and the centroids, shape (count, 2).

    scikit-learn compares each place with each centroid, which takes longer than the model does; in the plane a tree
    finds the nearest. The start is sought on a sample for the same reason.
    """
    sample = random.permutation(len(places))[: max(1, SAMPLE * count)]
    # Threads would add up distances in an order of their own, different at every run.
    with _threads().limit(limits=1):
        centroids, _ = kmeans_plusplus(places[sample], count, sample_weight=weights[sample], random_state=random)
    for _ in range(iterations):
        distances, owners = cKDTree(centroids).query(places)
        owned = np.bincount(owners, weights=weights, minlength=count)
        sums = [np.bincount(owners, weights=weights * axis, minlength=count) for axis in places.T]
        means = np.stack(sums, axis=1) / np.maximum(owned, 1)[:, None]
        moved = np.where(owned[:, None] > 0, means, centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return float(np.average(distances**2, weights=weights)), centroids
