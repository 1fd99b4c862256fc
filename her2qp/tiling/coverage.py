"""Exact area of a polygon in each cell of a rectilinear grid, without cutting the polygon into pieces.

Green's theorem cell by cell, the way font rasterisers compute exact coverage: the area of the polygon within a cell is
the integral, along the polygon's edges, of how far the edge lies to the right within that cell. An edge piece therefore
adds a trapezium to the cell it is in and a full strip to every cell on its left in the same row. After splitting the
edges at the grid lines, all of it is two histograms and one cumulative sum; the cost grows with the number of edges and
of cells, not with their product.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Geometry

Floats = NDArray[np.float64]


def cell_areas(geometry: Geometry, x_lines: Floats, y_lines: Floats) -> Floats:
    """Area of a geometry in each cell of a grid.

    Parameters
    ----------
    geometry
        Valid polygon or multipolygon, holes included.
    x_lines, y_lines
        Increasing coordinates of the grid lines, shapes (columns + 1,) and (rows + 1,). The geometry may reach
        beyond them.

    Returns
    -------
    ndarray of float64
        Shape (rows, columns), in square units; exact up to rounding of about 1e-12 of a cell.
    """
    columns, rows = len(x_lines) - 1, len(y_lines) - 1
    ax, ay, bx, by = oriented_edges(geometry)
    relevant = (np.maximum(ay, by) > y_lines[0]) & (np.minimum(ay, by) < y_lines[-1]) & (ay != by)
    relevant &= np.maximum(ax, bx) > x_lines[0]
    ay, ax, by, bx = _split(ay[relevant], ax[relevant], by[relevant], bx[relevant], y_lines)
    ax, ay, bx, by = _split(ax, ay, bx, by, x_lines)

    middle, height = (ax + bx) / 2, by - ay
    column = np.searchsorted(x_lines, middle, side="right") - 1
    row = np.searchsorted(y_lines, (ay + by) / 2, side="right") - 1
    inside = (row >= 0) & (row < rows) & (column >= 0)
    middle, height, column, row = middle[inside], height[inside], column[inside], row[inside]

    # One column more than the grid has gathers the pieces on its right: they matter to every cell of their row.
    cell = row * (columns + 1) + column
    shape, size = (rows, columns + 1), rows * (columns + 1)
    trapezia = np.bincount(cell, (middle - x_lines[column]) * height, size).reshape(shape)[:, :-1]
    rises = np.bincount(cell, height, size).reshape(shape)
    rises_on_right = np.cumsum(rises[:, :0:-1], axis=1)[:, ::-1]
    widths = np.diff(x_lines)
    areas = trapezia + rises_on_right * widths
    return np.clip(areas, 0, widths * np.diff(y_lines)[:, None])


def oriented_edges(geometry: Geometry) -> tuple[Floats, Floats, Floats, Floats]:
    """Edges of all rings, outer rings turning one way and holes the other.

    Returns
    -------
    tuple of ndarray of float64
        ax, ay, bx, by of each edge, shape (edges,).
    """
    rings, polygon = shapely.get_rings(shapely.get_parts(geometry), return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    if len(points) == 0:
        empty = np.empty(0)
        return empty, empty, empty, empty
    joined = ring[1:] == ring[:-1]
    start, end, ring = points[:-1][joined], points[1:][joined], ring[:-1][joined]

    # Relative to its ring's first point, or the sum would lose digits far away from the origin.
    _, first = np.unique(ring, return_index=True)
    origin = start[first][ring]
    (ux, uy), (vx, vy) = (start - origin).T, (end - origin).T
    doubled_area = np.bincount(ring, ux * vy - vx * uy, len(rings))
    is_outer = np.diff(polygon, prepend=-1) != 0
    reverse = ((doubled_area > 0) != is_outer)[ring][:, None]
    start, end = np.where(reverse, end, start), np.where(reverse, start, end)
    return start[:, 0], start[:, 1], end[:, 0], end[:, 1]


def _split(au: Floats, av: Floats, bu: Floats, bv: Floats, lines: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Split edges from (au, av) to (bu, bv) where u crosses one of `lines`; the parts of an edge stay together."""
    first = np.searchsorted(lines, np.minimum(au, bu), side="right")
    last = np.searchsorted(lines, np.maximum(au, bu), side="left")
    cuts = np.maximum(last - first, 0)
    if not cuts.any():
        return au, av, bu, bv

    edge = np.repeat(np.arange(len(au)), cuts)
    nth = np.arange(len(edge)) - np.repeat(np.cumsum(cuts) - cuts, cuts)
    line = np.where(au[edge] < bu[edge], first[edge] + nth, last[edge] - 1 - nth)
    cut_u = lines[line]
    slope = (bv[edge] - av[edge]) / (bu[edge] - au[edge])
    cut_v = av[edge] + (cut_u - au[edge]) * slope

    # Every cut ends one part and begins the next: insert it behind its edge's start and before its edge's end.
    return (
        np.insert(au, edge + 1, cut_u),
        np.insert(av, edge + 1, cut_v),
        np.insert(bu, edge, cut_u),
        np.insert(bv, edge, cut_v),
    )
