"""Anchors: how many, on which tiles, and that nothing but the tissue decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from her2qp.models.anchors import REFERENCE_AREA_UM2, AnchorConfig, count_anchors, place_anchors


def grid(columns: int, rows: int, tile_um: float = 112.0) -> NDArray[np.float64]:
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    return np.stack([x.ravel(), y.ravel()], axis=1) * tile_um


@pytest.mark.parametrize(("tiles", "anchors"), [(1, 1), (143, 1), (144, 2), (500, 4), (4096, 29)])
def test_the_published_numbers_at_the_published_tile_size(tiles: int, anchors: int) -> None:
    assert count_anchors(tiles, 112.0, AnchorConfig()) == anchors


def test_the_number_follows_tissue_area_not_tiles() -> None:
    assert round(REFERENCE_AREA_UM2, -5) == 1.8e6
    assert count_anchors(1000, 112.0, AnchorConfig()) == count_anchors(4000, 56.0, AnchorConfig())


def test_anchors_are_tiles_spread_over_the_tissue() -> None:
    tiles = grid(48, 36)
    anchors = place_anchors(tiles, 112.0, AnchorConfig())
    assert len(anchors) == 48 * 36 // 144 + 1
    assert {tuple(a) for a in anchors} <= {tuple(t) for t in tiles}
    to_nearest = np.sqrt(((tiles[:, None] - anchors) ** 2).sum(-1)).min(axis=1)
    assert to_nearest.max() < 2 * np.sqrt(REFERENCE_AREA_UM2)


def test_two_pieces_of_tissue_get_an_anchor_each() -> None:
    piece = grid(5, 5)
    anchors = place_anchors(np.concatenate([piece, piece + 50_000]), 112.0, AnchorConfig(area_um2=49 * 112.0**2))
    np.testing.assert_array_equal(anchors, [[224, 224], [50_224, 50_224]])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    tiles=st.integers(1, 300),
    shift=st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)),
    tile_um=st.sampled_from([64.0, 112.0, 128.0, 100.3]),
)
def test_neither_order_nor_origin_decides(seed: int, tiles: int, shift: tuple[float, float], tile_um: float) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.choice(900, size=tiles, replace=False)
    positions = np.stack(np.divmod(cells, 30), axis=1) * tile_um
    config = AnchorConfig(area_um2=20 * tile_um**2)
    anchors = place_anchors(positions, tile_um, config)
    moved = place_anchors(rng.permutation(positions) + shift, tile_um, config)
    np.testing.assert_allclose(moved - shift, anchors, atol=1e-6)
    assert len(np.unique(anchors, axis=0)) == len(anchors) >= 1


def test_repeated_tiles_do_not_repeat_anchors() -> None:
    tiles = np.repeat(grid(3, 1), 4, axis=0)
    assert len(place_anchors(tiles, 112.0, AnchorConfig(area_um2=112.0**2 / 2))) == 3


def test_an_anchor_is_a_tile_even_where_the_centroid_is_not() -> None:
    corners = np.array([[0, 0], [10, 0], [0, 10], [10, 10]]) * 112.0
    assert place_anchors(corners, 112.0, AnchorConfig()).tolist() in [[corner] for corner in corners.tolist()]


def test_two_centroids_with_one_nearest_tile() -> None:
    # Split into left and right, both halves have their centroid near the tile in the middle.
    cross = np.array([[0, 0], [0, 20], [9, 10], [18, 0], [18, 20]]) * 112.0
    area = 4 * 112.0**2
    kept = [place_anchors(cross, 112.0, AnchorConfig(area_um2=area, seed=s, duplicates="keep")) for s in range(100)]
    dropped = [place_anchors(cross, 112.0, AnchorConfig(area_um2=area, seed=s)) for s in range(100)]
    assert {len(anchors) for anchors in kept} == {2}
    assert {len(anchors) for anchors in dropped} == {1, 2}
    for one, other in zip(kept, dropped, strict=True):
        np.testing.assert_array_equal(np.unique(one, axis=0), other)
