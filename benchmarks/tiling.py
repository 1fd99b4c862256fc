"""Assignment of 100,000 candidate tiles to an annotation of 10,000 vertices with holes, against the plain shapely loop.

Usage: ``python benchmarks/tiling.py [--all]``

The loop intersects one tile after another with the annotation. It is timed on a random sample of the candidates and
scaled up, or with ``--all`` on all of them (minutes). The shares of both are compared tile by tile.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from her2qp.tiling import Region, TileGrid
from her2qp.tiling.assign import tiles_in_region

SLIDE_SIZE = (100_000, 100_000)
CANDIDATES = 100_000
SAMPLE = 1_000


def annotation(vertices: int = 10_000, holes: int = 5) -> Polygon:
    """A lobed outline drawn with a trembling hand, with round holes; as many vertices in all."""
    rng = np.random.default_rng(0)
    per_hole = vertices // 50
    angle = np.linspace(0, 2 * np.pi, vertices - holes * per_hole, endpoint=False)
    radius = 40_000 * (1 + 0.2 * np.sin(7 * angle) + 0.002 * rng.normal(size=angle.size))
    around = np.linspace(0, 2 * np.pi, per_hole, endpoint=False)
    rings = [
        np.c_[x + 3_000 * np.cos(around), y + 3_000 * np.sin(around)]
        for x, y in 50_000 + 20_000 * np.c_[np.cos(np.arange(holes)), np.sin(np.arange(holes))]
    ]
    return Polygon(np.c_[50_000 + radius * np.cos(angle), 50_000 + radius * np.sin(angle)], rings)


def candidate_cells(polygon: Polygon) -> tuple[TileGrid, NDArray[np.int32]]:
    """A grid whose tiles in the polygon's bounding box are about `CANDIDATES`, and their columns and rows."""
    x0, y0, x1, y1 = polygon.bounds
    side = ((x1 - x0) * (y1 - y0) / CANDIDATES) ** 0.5
    grid = TileGrid(tile_px=256, mpp=0.25 * side / 256, slide_mpp=0.25)
    columns, rows = grid.span(x0, x1, SLIDE_SIZE[0]), grid.span(y0, y1, SLIDE_SIZE[1])
    column, row = np.meshgrid(columns, rows)
    return grid, np.stack([column.ravel(), row.ravel()], axis=1).astype(np.int32)


def loop(polygon: Polygon, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([shapely.box(*tile).intersection(polygon).area for tile in bounds])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--all", action="store_true", help="time the loop on every candidate")
    every = parser.parse_args().all

    polygon = annotation()
    region = Region(None, None, polygon)
    grid, cells = candidate_cells(polygon)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        found, shares = tiles_in_region(region, grid, SLIDE_SIZE, min_fraction=0)
        times.append(time.perf_counter() - start)
    ours = min(times)

    picked = cells if every else np.random.default_rng(1).choice(cells, SAMPLE, replace=False)
    start = time.perf_counter()
    expected = loop(polygon, grid.bounds(picked)) / grid.size0**2
    theirs = (time.perf_counter() - start) * len(cells) / len(picked)

    share_of = dict(zip(map(tuple, found.tolist()), shares.tolist(), strict=True))
    got = np.array([share_of.get(cell, 0.0) for cell in map(tuple, picked.tolist())])
    print(
        f"{len(cells)} candidates, {shapely.get_num_coordinates(polygon)} vertices: her2qp {ours * 1e3:.1f} ms, "
        f"plain loop {theirs:.0f} s{'' if every else f' (scaled up from {SAMPLE})'}, ratio {theirs / ours:.0f}, "
        f"largest difference of a share {np.abs(got - expected).max():.1e}"
    )


if __name__ == "__main__":
    main()
