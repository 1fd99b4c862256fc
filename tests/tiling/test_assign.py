"""Shares of tiles are what shapely says, tile by tile."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Geometry, MultiPolygon, Polygon, box
from shapely.affinity import translate

from her2qp.tiling import Region, TileGrid
from her2qp.tiling.assign import tiles_in_region
from her2qp.tiling.coverage import cell_areas

SIZE = (4000, 3000)


def blob(seed: int) -> Geometry:
    """A jagged multipolygon with holes inside the slide, some of its vertices on grid lines."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, rng.integers(5, 60), endpoint=False)
    radius = rng.uniform(300, 1400, angle.size)
    outline = np.c_[2000 + radius * np.cos(angle), 1500 + radius * np.sin(angle)]
    if rng.random() < 0.5:
        outline = np.round(outline / 64) * 64
    shape = shapely.make_valid(Polygon(outline))
    for _ in range(rng.integers(0, 4)):
        hole = shapely.Point(rng.uniform(1200, 2800), rng.uniform(900, 2100)).buffer(rng.uniform(20, 200))
        shape = shape - hole
    return shapely.union(shape, box(10, 20, 130.5, 75.25))


def shares_by_loop(geometry: Geometry, grid: TileGrid) -> dict[tuple[int, int], float]:
    """The plain way: every tile of the slide, one after the other."""
    shares = {}
    for row in range(int(SIZE[1] // grid.stride0) + 1):
        for column in range(int(SIZE[0] // grid.stride0) + 1):
            x, y = column * grid.stride0, row * grid.stride0
            share = box(x, y, x + grid.size0, y + grid.size0).intersection(geometry).area / grid.size0**2
            if share > 1e-9 and x < SIZE[0] and y < SIZE[1]:
                shares[column, row] = share
    return shares


def found_shares(geometry: Geometry, grid: TileGrid, least: float = 0) -> dict[tuple[int, int], float]:
    cells, shares = tiles_in_region(Region(None, None, geometry), grid, SIZE, least)
    assert len(np.unique(cells, axis=0)) == len(cells)
    return {(int(column), int(row)): float(share) for (column, row), share in zip(cells, shares, strict=True)}


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    slide_mpp=st.sampled_from([0.25, 0.2527, 0.499, 0.1]),
    stride=st.sampled_from([None, 128, 100, 300]),
)
def test_equal_to_the_plain_loop(seed: int, slide_mpp: float, stride: int | None) -> None:
    geometry, grid = blob(seed), TileGrid(mpp=0.5, slide_mpp=slide_mpp, stride_px=stride)
    found, expected = found_shares(geometry, grid), shares_by_loop(geometry, grid)
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[cell] for cell in expected], list(expected.values()), rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), tile_px=st.integers(16, 700))
def test_areas_of_tiles_side_by_side_add_up(seed: int, tile_px: int) -> None:
    geometry, grid = blob(seed), TileGrid(tile_px=tile_px, mpp=0.5, slide_mpp=0.2527)
    assert sum(found_shares(geometry, grid).values()) * grid.size0**2 == pytest.approx(geometry.area, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), columns=st.integers(0, 3), rows=st.integers(0, 3))
def test_moving_a_region_by_whole_tiles_moves_its_tiles(seed: int, columns: int, rows: int) -> None:
    grid = TileGrid(tile_px=64, mpp=0.5, slide_mpp=0.25)
    geometry = shapely.clip_by_rect(blob(seed), 500, 500, 3000, 2000)
    here = found_shares(geometry, grid, 0.3)
    there = found_shares(translate(geometry, columns * grid.size0, rows * grid.size0), grid, 0.3)
    assert {(c + columns, r + rows) for c, r in here} == there.keys()


def test_the_least_share_is_kept_and_what_is_below_is_not() -> None:
    grid = TileGrid(tile_px=100, mpp=1, slide_mpp=1)
    half = box(0, 0, 50, 100)
    assert found_shares(half, grid, 0.5) == {(0, 0): 0.5}
    assert found_shares(half, grid, 0.51) == {}
    assert found_shares(box(0, 0, 300, 100), grid, 1.0) == {(0, 0): 1, (1, 0): 1, (2, 0): 1}
    # Neighbours that are only touched share no area.
    assert found_shares(box(100, 100, 200, 200), grid, 0) == {(1, 1): 1.0}


def test_small_bands_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = TileGrid(tile_px=64, mpp=0.5, slide_mpp=0.25, stride_px=48)
    in_one = found_shares(blob(3), grid)
    monkeypatch.setattr("her2qp.tiling.assign.MAX_CELLS", 100)
    assert found_shares(blob(3), grid) == pytest.approx(in_one, rel=1e-12)


def test_either_ring_direction_and_no_polygon() -> None:
    lines = np.arange(0.0, 5)
    ring = [(0.5, 0.5), (3.5, 0.5), (3.5, 3.5), (0.5, 3.5)]
    hole = [(1, 1), (1, 3), (3, 3), (3, 1)]
    expected = cell_areas(box(0.5, 0.5, 3.5, 3.5) - box(1, 1, 3, 3), lines, lines)
    assert expected.sum() == 5
    for outer in (ring, ring[::-1]):
        for inner in (hole, hole[::-1]):
            np.testing.assert_allclose(cell_areas(Polygon(outer, [inner]), lines, lines), expected, atol=1e-15)
    assert cell_areas(MultiPolygon(), lines, lines).sum() == 0


def test_a_polygon_larger_than_the_grid() -> None:
    lines = np.array([0.0, 1.0, 2.5, 4.0])
    areas = cell_areas(box(-10, -10, 10, 10) - box(2, -20, 3, 20), lines, lines)
    np.testing.assert_allclose(areas, np.outer(np.diff(lines), [1, 1, 1]), atol=1e-12)
