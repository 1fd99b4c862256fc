"""Graphs of slides: clusters against scipy's dense linkage, edges against the definition, and odd slides."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial import Delaunay
from scipy.spatial.distance import pdist, squareform

from her2qp.models.tile_graph import GraphConfig, TileGraph, build_graph, neighbours

CONFIG = GraphConfig(feature_decay=0.05)


def slide(tiles: int, seed: int = 0, tile_um: float = 128.0, dimension: int = 6) -> tuple[NDArray, NDArray]:
    """Tiles on a patchy grid; each feature changes slowly over the slide."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(1.5 * tiles)))
    cells = rng.choice(side * side, size=tiles, replace=False)
    places = np.stack(np.divmod(cells, side), axis=1) * tile_um + 20_000
    waves = np.sin(places @ rng.normal(size=(2, dimension)) / 700)
    return (5 * waves + 0.3 * rng.normal(size=waves.shape)).astype(np.float32), places


def same_groups(one: NDArray, other: NDArray) -> bool:
    pairs = np.unique(np.stack([one, other]), axis=1).shape[1]
    return pairs == len(np.unique(one)) == len(np.unique(other))


@pytest.mark.parametrize("tile_um", [40.0, 64.0, 128.0])
@pytest.mark.parametrize("seed", range(4))
def test_nodes_are_the_clusters_of_average_linkage(seed: int, tile_um: float) -> None:
    features, places = slide(250, seed, tile_um)
    apart = pdist(places)
    similarity = np.exp(-CONFIG.feature_decay * pdist(features.astype(float)) - CONFIG.distance_decay_per_um * apart)
    similarity[apart > CONFIG.radius_um] = 0
    expected = fcluster(linkage(1 - similarity, "average"), 1 - CONFIG.least_similarity, "distance")
    graph = build_graph(features, places, tile_um, CONFIG)
    assert 5 < graph.nodes < 245
    assert same_groups(graph.node_of_tile, expected)


def test_edges_are_short_sides_of_delaunay_triangles() -> None:
    features, places = slide(300, tile_um=200.0)
    graph = build_graph(features, places, 200.0, CONFIG)
    middles = np.stack([places[graph.node_of_tile == node].mean(axis=0) for node in range(graph.nodes)])
    triangles = Delaunay(middles - places.min(axis=0)).simplices
    sides = {(a, b) for triangle in triangles for a in triangle for b in triangle if a != b}
    lengths = squareform(pdist(middles))
    kept = {(a, b) for a, b in sides if lengths[a, b] <= CONFIG.longest_edge_um}
    assert len(kept) < len(sides)
    # Four nodes on a circle can be cut either way.
    assert len(set(zip(*graph.edges.tolist(), strict=True)) ^ kept) <= 0.02 * len(kept)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), tiles=st.integers(1, 120), shift=st.tuples(*[st.floats(-1e5, 1e5)] * 2))
def test_neither_order_nor_origin_decides(seed: int, tiles: int, shift: tuple[float, float]) -> None:
    features, places = slide(tiles, seed)
    order = np.random.default_rng(seed).permutation(tiles)
    one = build_graph(features, places, 128.0, CONFIG)
    other = build_graph(features[order], places[order] + shift, 128.0, CONFIG)
    assert same_groups(one.node_of_tile[order], other.node_of_tile)
    number = dict(zip(one.node_of_tile[order].tolist(), other.node_of_tile.tolist(), strict=True))
    renamed = {(number[a], number[b]) for a, b in one.edges.T.tolist()}
    assert renamed == set(map(tuple, other.edges.T.tolist()))


@pytest.mark.parametrize(
    ("points", "edges"),
    [
        ([[0, 0]], []),
        ([[0, 0], [9, 9]], [(0, 1)]),
        ([[0, 0], [9, 9], [0, 9]], [(0, 1), (0, 2), (1, 2)]),
        ([[0, 0], [3, 0], [1, 0], [2, 0], [9, 0]], [(0, 2), (1, 3), (1, 4), (2, 3)]),
        ([[5, 5]] * 5, [(0, 1), (1, 2), (2, 3), (3, 4)]),
    ],
)
def test_few_nodes_and_nodes_on_a_line(points: list[list[int]], edges: list[tuple[int, int]]) -> None:
    found = neighbours(np.array(points, dtype=float))
    assert sorted(tuple(sorted(edge)) for edge in found.T.tolist()) == edges


@pytest.mark.parametrize("value", [0.0, 3e38])
def test_tiles_that_all_look_alike_or_are_absurd(value: float) -> None:
    _, places = slide(40)
    graph = build_graph(np.full((40, 3), value, dtype=np.float32), places, 128.0, CONFIG)
    assert graph.node_of_tile.shape == (40,)


def test_what_is_left_of_a_graph_when_tiles_are_dropped() -> None:
    graph = TileGraph(np.array([0, 1, 1, 2]), np.array([[0, 1, 1, 2], [1, 0, 2, 1]]))
    without_zero = graph.take(np.array([3, 1]))
    assert without_zero.node_of_tile.tolist() == [1, 0]
    assert without_zero.edges.tolist() == [[0, 1], [1, 0]]
    assert graph.take(np.array([True, False, False, True])).edges.shape == (2, 0)


def test_memory_and_time_of_a_large_slide() -> None:
    features, places = slide(5_000, tile_um=112.0, dimension=512)
    tracemalloc.start()
    start = time.process_time()
    graph = build_graph(features, places, 112.0, GraphConfig())
    seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 < graph.nodes < 5_000
    # A quarter of what 20,000 tiles may take, where pairs of all tiles would take 100 MB an array.
    assert peak < 2**29
    assert seconds < 15
