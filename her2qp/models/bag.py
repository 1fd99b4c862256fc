"""A slide as a bag of tile features, and several bags as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from her2qp.errors import ModelError
from her2qp.models.tile_graph import TileGraph


class StoredFeatures(Protocol):
    """Features that are not kept in memory, but read each time they are wanted."""

    @property
    def shape(self) -> tuple[int, int]:
        """Tiles and dimension."""

    def read(self) -> NDArray[np.float32]:
        """The features, shape (n, d), float32, finite."""


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """Features and places of the tiles of one slide, or of one region of it.

    Parameters
    ----------
    content
        The features, one row a tile, shape (n, d), float32; or what reads them.
    positions_um
        Tile centres x, y in µm from any origin, shape (n, 2), float64.
    tile_um
        Side of a tile in µm. Tiles are taken not to overlap: `n` tiles cover ``n * tile_um**2``.
    name
        What to call the bag in errors.
    anchors_um
        Where the kernels of a KAT sit, shape (k, 2), float64; None until the model has placed them. They stay
        where they are when tiles are dropped.
    graph
        Groups of tiles and their neighbours; None until a model that reads graphs has made it.

    Raises
    ------
    ModelError
        The bag is empty, its arrays do not fit together, or a value is not finite.
    """

    content: NDArray[np.float32] | StoredFeatures
    positions_um: NDArray[np.float64]
    tile_um: float
    name: str = "bag"
    anchors_um: NDArray[np.float64] | None = None
    graph: TileGraph | None = None

    def __post_init__(self) -> None:
        if isinstance(self.content, np.ndarray):
            object.__setattr__(self, "content", self._checked(self.content))
        if not (np.isfinite(self.tile_um) and self.tile_um > 0):
            raise ModelError(f"a tile cannot be {self.tile_um} µm wide", where=self.name)
        tiles = self.content.shape[0]
        object.__setattr__(self, "positions_um", self._points(self.positions_um, "tile positions", tiles))
        if self.anchors_um is not None:
            object.__setattr__(self, "anchors_um", self._points(self.anchors_um, "anchors", None))

    def _checked(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        features = np.ascontiguousarray(values, dtype=np.float32)
        if features.ndim != 2 or features.shape[1] == 0:
            raise ModelError(f"features have shape {features.shape}, not (tiles, dimension)", where=self.name)
        if len(features) == 0:
            raise ModelError("the bag holds no tile", where=self.name)
        broken = int((~np.isfinite(features).all(axis=1)).sum())
        if broken:
            raise ModelError(
                f"the features of {broken} of {len(features)} tiles are not finite",
                where=self.name,
                remedy="Extract the features of this slide again.",
            )
        return features

    def _points(self, points: ArrayLike, what: str, count: int | None) -> NDArray[np.float64]:
        array = np.asarray(points, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0 or (count is not None and len(array) != count):
            wanted = f"({count if count is not None else 'anchors'}, 2)"
            raise ModelError(f"the {what} have shape {array.shape}, not {wanted}", where=self.name)
        if not np.isfinite(array).all():
            raise ModelError(f"the {what} are not finite", where=self.name)
        return array

    def __len__(self) -> int:
        return int(self.content.shape[0])

    @property
    def dimension(self) -> int:
        """Length of a feature vector."""
        return int(self.content.shape[1])

    @property
    def features(self) -> NDArray[np.float32]:
        """One row a tile, shape (n, d), float32; read now if they are not in memory."""
        return self.content if isinstance(self.content, np.ndarray) else self.content.read()

    def in_memory(self) -> Bag:
        """The same with its features in memory, for who wants them many times."""
        return replace(self, content=self.features)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Bag:
        """The bag of the given tiles, with the anchors of this one, and what is left of its graph."""
        graph = None if self.graph is None else self.graph.take(rows)
        return replace(self, content=self.features[rows], positions_um=self.positions_um[rows], graph=graph)


@dataclass(frozen=True, slots=True, eq=False)
class BatchGraph:
    """The graphs of several bags, one after another.

    Parameters
    ----------
    node_of_tile
        Shape (n,), int64, numbered through the batch.
    edges
        From and to, shape (2, e), int64.
    node_counts
        How many nodes each bag has.
    """

    node_of_tile: Tensor
    edges: Tensor
    node_counts: tuple[int, ...]

    @property
    def bag_of_node(self) -> Tensor:
        """Number of the bag of each node, shape (m,), int64."""
        return _owners(self.node_counts, self.edges.device)

    def edges_with_lonely_loops(self) -> Tensor:
        """The edges, and one from each node that has no neighbour to itself."""
        lonely = (self.edges[1].bincount(minlength=sum(self.node_counts)) == 0).nonzero()[:, 0]
        return torch.cat([self.edges, lonely.expand(2, -1)], dim=1)

    def to(self, device: torch.device) -> BatchGraph:
        """The same on another device."""
        return replace(self, node_of_tile=self.node_of_tile.to(device), edges=self.edges.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class BagBatch:
    """Several bags, the tiles of each after those of the one before: nothing is padded.

    Parameters
    ----------
    features
        Shape (n, d), float32; n is the number of tiles of all bags.
    positions_um
        Tile centres from each bag's own first corner, shape (n, 2), float32.
    anchors_um
        Anchors from the same corner, shape (k, 2), float32. Models without kernels ignore them.
    tile_counts, anchor_counts
        How many of them belong to each bag; none is 0.
    graph
        Of all bags; None if one has none.
    """

    features: Tensor
    positions_um: Tensor
    anchors_um: Tensor
    tile_counts: tuple[int, ...]
    anchor_counts: tuple[int, ...]
    graph: BatchGraph | None = None

    def __len__(self) -> int:
        return len(self.tile_counts)

    @property
    def bag_of_tile(self) -> Tensor:
        """Number of the bag of each tile, shape (n,), int64."""
        return _owners(self.tile_counts, self.features.device)

    @property
    def bag_of_anchor(self) -> Tensor:
        """Number of the bag of each anchor, shape (k,), int64."""
        return _owners(self.anchor_counts, self.features.device)

    @property
    def known_graph(self) -> BatchGraph:
        """The graph.

        Raises
        ------
        ModelError
            A bag has none.
        """
        if self.graph is None:
            raise ModelError("the bags of a batch have no graphs", remedy="Make batches by the model's own collate.")
        return self.graph

    def to(self, device: torch.device) -> BagBatch:
        """The same batch on another device."""
        return replace(
            self,
            features=self.features.to(device),
            positions_um=self.positions_um.to(device),
            anchors_um=self.anchors_um.to(device),
            graph=None if self.graph is None else self.graph.to(device),
        )


def _owners(counts: Sequence[int], device: torch.device) -> Tensor:
    repeats = torch.tensor(counts, device=device)
    return torch.arange(len(counts), device=device).repeat_interleave(repeats, output_size=sum(counts))


def collate(bags: Sequence[Bag]) -> BagBatch:
    """Put bags one after another.

    Parameters
    ----------
    bags
        At least one; all of one dimension. A bag without anchors gets its own centre as the only one.

    Raises
    ------
    ModelError
        There is no bag, or the dimensions differ.
    """
    if not bags:
        raise ModelError("a batch needs at least one bag")
    dimensions = sorted({bag.dimension for bag in bags})
    if len(dimensions) > 1:
        raise ModelError(
            f"the features of one batch have {' and '.join(map(str, dimensions))} dimensions",
            remedy="Use features of one extractor.",
        )
    # Origins are taken off in float64: slides are 10^5 µm wide, and float32 would round tile distances there.
    origins = [bag.positions_um.min(axis=0) for bag in bags]
    anchors = [bag.positions_um.mean(axis=0)[None] if bag.anchors_um is None else bag.anchors_um for bag in bags]
    return BagBatch(
        _join([bag.features for bag in bags]),
        _join([bag.positions_um - origin for bag, origin in zip(bags, origins, strict=True)]),
        _join([places - origin for places, origin in zip(anchors, origins, strict=True)]),
        tuple(map(len, bags)),
        tuple(map(len, anchors)),
        _join_graphs([bag.graph for bag in bags]),
    )


def _join(rows: Sequence[NDArray[np.float32] | NDArray[np.float64]]) -> Tensor:
    return torch.from_numpy(np.concatenate(rows, dtype=np.float32, casting="same_kind"))


def _join_graphs(graphs: Sequence[TileGraph | None]) -> BatchGraph | None:
    known = [graph for graph in graphs if graph is not None]
    if len(known) < len(graphs):
        return None
    counts = [graph.nodes for graph in known]
    firsts = np.cumsum([0, *counts[:-1]])
    nodes = np.concatenate([graph.node_of_tile + first for graph, first in zip(known, firsts, strict=True)])
    edges = np.concatenate([graph.edges + first for graph, first in zip(known, firsts, strict=True)], axis=1)
    return BatchGraph(torch.from_numpy(nodes), torch.from_numpy(edges), tuple(counts))


def singletons(features: NDArray[np.float32]) -> BagBatch:
    """One bag for each tile that holds nothing but this tile.

    Parameters
    ----------
    features
        Shape (n, d), float32.

    Returns
    -------
    A batch of `n` bags of one tile, each with one anchor on the tile and one node without neighbours.
    """
    count = len(features)
    places, ones = torch.zeros(count, 2), (1,) * count
    graph = BatchGraph(torch.arange(count), torch.empty(2, 0, dtype=torch.int64), ones)
    return BagBatch(torch.tensor(features, dtype=torch.float32), places, places, ones, ones, graph)
