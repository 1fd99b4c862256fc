"""Which tiles of the grid lie in a region, and how far."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from her2qp.tiling.coverage import cell_areas
from her2qp.tiling.grid import TileGrid
from her2qp.tiling.regions import Region

MAX_CELLS = 1 << 22
"""Cells of the grid that are worked on at once: bounds the memory for tiny tiles on large slides."""

_EXACT = 1e-9
"""Shares of a tile nearer to each other than this are the same: they differ by rounding only."""


def tiles_in_region(
    region: Region, grid: TileGrid, slide_size: tuple[int, int], min_fraction: float
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Tiles of which at least `min_fraction` lies inside a region.

    The share is taken of the whole tile, also where it reaches beyond the slide.

    Parameters
    ----------
    region
        The region.
    grid
        The grid.
    slide_size
        Width and height of level 0: every tile that begins on the slide counts.
    min_fraction
        0 keeps every tile that shares any area with the region.

    Returns
    -------
    cells : ndarray of int32
        Column and row, shape (n, 2), row by row.
    fractions : ndarray of float64
        Share of the tile inside the region, shape (n,).
    """
    x0, y0, x1, y1 = shapely.bounds(region.geometry)
    columns, rows = grid.span(x0, x1, slide_size[0]), grid.span(y0, y1, slide_size[1])
    cells, fractions = [np.empty((0, 2), np.int32)], [np.empty(0)]
    band = max(1, MAX_CELLS // max(1, len(columns)))
    for start in range(rows.start, rows.stop, band):
        some_rows = range(start, min(start + band, rows.stop))
        share = _tile_areas(region, grid, columns, some_rows) / grid.size0**2
        keep = (share >= min_fraction - _EXACT) & (share > _EXACT)
        row, column = np.nonzero(keep)
        cells.append(np.stack([column + columns.start, row + some_rows.start], axis=1).astype(np.int32))
        fractions.append(share[keep])
    return np.concatenate(cells), np.concatenate(fractions)


def one_region_each(
    cells: NDArray[np.int32], fractions: NDArray[np.float64], owner: NDArray[np.int32], precedence: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Decide to which region a tile belongs that several regions claim: the one with the largest share.

    Parameters
    ----------
    cells
        Column and row of each claim, shape (n, 2).
    fractions
        Share of the tile, shape (n,).
    owner
        The region that claims it, shape (n,).
    precedence
        For each region, its place among equals; lower is first.

    Returns
    -------
    ndarray of intp
        The claims that hold, ordered by region, then row, then column.
    """
    column, row = cells.T
    order = np.lexsort((precedence[owner], -np.round(fractions / _EXACT), column, row))
    sorted_cells = cells[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (sorted_cells[1:] != sorted_cells[:-1]).any(axis=1)
    kept = order[is_first]
    return kept[np.lexsort((column[kept], row[kept], owner[kept]))]


def _tile_areas(region: Region, grid: TileGrid, columns: range, rows: range) -> NDArray[np.float64]:
    """Area of the region in each tile, shape (rows, columns)."""
    x_lines, x_first, x_last = _lines(grid, columns)
    y_lines, y_first, y_last = _lines(grid, rows)
    areas = cell_areas(region.geometry, x_lines, y_lines)
    if len(x_lines) - 1 == len(columns) and len(y_lines) - 1 == len(rows):
        return areas
    return _sum_ranges(_sum_ranges(areas, y_first, y_last).T, x_first, x_last).T


def _lines(grid: TileGrid, cells: range) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Grid lines along one axis, and for each tile the numbers of the lines at which it begins and ends."""
    starts = np.arange(cells.start, cells.stop) * grid.stride0
    ends = starts + grid.size0
    tolerance = 1e-9 * grid.size0
    lines = np.sort(np.concatenate([starts, ends]))
    lines = lines[np.diff(lines, prepend=-np.inf) > tolerance]
    return lines, np.searchsorted(lines, starts - tolerance), np.searchsorted(lines, ends - tolerance)


def _sum_ranges(values: NDArray[np.float64], first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[np.float64]:
    """Sums of ``values[first:last]`` along the first axis, one for each pair."""
    padded = np.concatenate([values, np.zeros_like(values[:1])])
    return np.asarray(np.add.reduceat(padded, np.stack([first, last], axis=1).ravel(), axis=0)[::2])
