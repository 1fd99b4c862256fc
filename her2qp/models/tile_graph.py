"""A slide as a graph: nodes are groups of tiles that are near and look alike, edges join neighbouring nodes.

After SlideGraph+, Lu et al., "SlideGraph+: Whole slide image level graphs to predict HER2 status in breast cancer",
Medical Image Analysis 2022, section 2.3; lengths there are pixels of 0.25 µm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial import Delaunay, QhullError, cKDTree

from her2qp.models.linkage import cluster

GRID_DECIMALS = 3
"""Tile coordinates are compared in thousandths of a tile, so that rounding errors of another origin do not matter."""

PAIRS_AT_ONCE = 2**15
"""Pairs of tiles whose features are compared together."""


class GraphConfig(BaseModel):
    """How tiles become nodes, and nodes neighbours.

    Parameters
    ----------
    feature_decay
        λ_f: two tiles are similar as exp(-λ_f |Δf|) · exp(-λ_d |Δx|), f the features as the extractor gives them.
    distance_decay_per_um
        λ_d, 1/µm.
    radius_um
        Tiles farther apart have the similarity 0, µm.
    least_similarity
        Groups are joined as long as the mean similarity of their tiles is at least this.
    least_range
        Features that vary less than this over the slide are not compared.
    longest_edge_um
        Nodes farther apart are no neighbours, µm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature_decay: float = Field(default=1e-3, ge=0, allow_inf_nan=False)
    distance_decay_per_um: float = Field(default=0.012, ge=0, allow_inf_nan=False)
    radius_um: float = Field(default=500.0, gt=0, allow_inf_nan=False)
    least_similarity: float = Field(default=0.2, gt=0, le=1)
    least_range: float = Field(default=1e-4, ge=0, allow_inf_nan=False)
    longest_edge_um: float = Field(default=1000.0, gt=0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True, eq=False)
class TileGraph:
    """Which node each tile belongs to, and which nodes are neighbours.

    Parameters
    ----------
    node_of_tile
        Shape (n,), int64; every node from 0 on has at least one tile.
    edges
        From and to, shape (2, e), int64; each edge in both directions.
    """

    node_of_tile: NDArray[np.int64]
    edges: NDArray[np.int64]

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(self.node_of_tile.max()) + 1

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> TileGraph:
        """The graph of the given tiles: nodes that have lost all theirs are gone, with their edges."""
        left, node_of_tile = np.unique(self.node_of_tile[rows], return_inverse=True)
        number = np.full(self.nodes, -1)
        number[left] = np.arange(len(left))
        edges = number[self.edges]
        return TileGraph(node_of_tile, edges[:, (edges >= 0).all(axis=0)])


def build_graph(
    features: NDArray[np.float32], positions_um: NDArray[np.float64], tile_um: float, config: GraphConfig
) -> TileGraph:
    """Make a graph of a slide.

    The result depends neither on the order of the tiles, but for the numbers of the nodes, nor on the origin of their
    coordinates. Memory grows with the pairs of tiles within `radius_um`.

    Parameters
    ----------
    features
        Shape (n, d), float32.
    positions_um
        Tile centres, shape (n, 2), float64, µm.
    tile_um
        Side of a tile, µm.
    """
    grid = np.round((positions_um - positions_um.min(axis=0)) / tile_um, GRID_DECIMALS)
    order = np.lexsort((features[:, 0], grid[:, 1], grid[:, 0]))
    places = grid[order] * tile_um
    varying = np.ptp(features, axis=0) > config.least_range
    pairs = cKDTree(places).query_pairs(config.radius_um, output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    similarities = _similarities(features[order][:, varying], places, pairs, config)
    some = similarities > 0
    nodes = cluster(len(places), pairs[some], similarities[some], config.least_similarity)
    node_of_tile = np.empty(len(nodes), dtype=np.int64)
    node_of_tile[order] = nodes
    sizes = np.bincount(nodes)
    middles = np.stack([np.bincount(nodes, weights=axis) for axis in places.T], axis=1) / sizes[:, None]
    edges = neighbours(middles)
    lengths = np.linalg.norm(middles[edges[0]] - middles[edges[1]], axis=1)
    edges = edges[:, lengths <= config.longest_edge_um]
    return TileGraph(node_of_tile, np.concatenate([edges, edges[::-1]], axis=1))


def neighbours(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Edges of the Delaunay triangulation, each once, shape (2, e); on a line, those between successive points."""
    try:
        corners = Delaunay(points).simplices if len(points) > 3 else np.arange(len(points))[None]
    except QhullError:
        along = points @ np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
        order = np.argsort(along, kind="stable")
        return np.stack([order[:-1], order[1:]]).astype(np.int64)
    first, second = np.triu_indices(corners.shape[1], k=1)
    edges = np.sort(np.stack([corners[:, first].ravel(), corners[:, second].ravel()], axis=1), axis=1)
    return np.unique(edges, axis=0).T.astype(np.int64)


def _similarities(
    features: NDArray[np.float32], places: NDArray[np.float64], pairs: NDArray[np.intp], config: GraphConfig
) -> NDArray[np.float64]:
    parts = [np.empty(0)]
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        one, other = pairs[start : start + PAIRS_AT_ONCE].T
        apart = np.linalg.norm(places[one] - places[other], axis=1)
        # Features near the end of what floats hold are farther apart than that: not similar at all.
        with np.errstate(over="ignore"):
            unlike = np.linalg.norm(features[one] - features[other], axis=1).astype(np.float64)
        parts.append(np.exp(-config.distance_decay_per_um * apart - config.feature_decay * unlike))
    return np.concatenate(parts)
