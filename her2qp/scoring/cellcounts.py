"""How many cells of each class lie in each tile: cells that QuPath or another tool detected, which stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from her2qp.scoring.vocabulary import cell_count_name, per_area

if TYPE_CHECKING:
    from her2qp.qupath.objects import CellTable
    from her2qp.tiling.regions import Region
    from her2qp.tiling.tiles import Tiles

_MM2_PER_UM2 = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class CellCounts:
    """Measurements of tiles that tell of their cells.

    Parameters
    ----------
    names
        Of the measurements: count and density of all cells, then of each class.
    values
        Shape (tiles, len(names)), float32.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]


def count_cells(cells: CellTable, tiles: Tiles, regions: Sequence[Region], mpp: float) -> CellCounts:
    """Count the cells whose centroid lies in the part of a tile that is inside the tile's region.

    What is excluded from the region is excluded from the count and from the area of the density.

    Parameters
    ----------
    cells
        Of one image. A class gets its measurements even if none of its cells lies in a tile; cells without a class
        count among all.
    tiles, regions
        Of the same image. A tile includes its left and upper border, so that no cell is in two neighbours.
    mpp
        Pixel size at full resolution, µm/px.
    """
    tile, cell = _pairs(cells.centroids, tiles, regions)
    order = sorted(range(len(cells.classes)), key=lambda number: str(cells.classes[number]))
    names, counts = [cell_count_name()], [np.bincount(tile, minlength=len(tiles))]
    for number in order:
        names.append(cell_count_name(cells.classes[number]))
        counts.append(np.bincount(tile[cells.class_index[cell] == number], minlength=len(tiles)))
    extent = tiles.bounds[:, 2:] - tiles.bounds[:, :2]
    area_mm2 = extent.prod(axis=1) * tiles.region_fraction * mpp**2 * _MM2_PER_UM2
    columns = [column for count in counts for column in (count, count / area_mm2)]
    return CellCounts(
        tuple(name for count in names for name in (count, per_area(count))),
        np.column_stack(columns).astype(np.float32),
    )


def _pairs(
    centroids: NDArray[np.float64], tiles: Tiles, regions: Sequence[Region]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of tiles, and of the cells in them: a cell is in several where tiles overlap."""
    tree = shapely.STRtree(shapely.points(centroids))
    region_of_cell = np.full(len(centroids), -1)
    region, cell = tree.query([region.geometry for region in regions], predicate="intersects")
    region_of_cell[cell] = region
    tile, cell = tree.query(shapely.box(*tiles.bounds.T))
    is_inside = (centroids[cell] < tiles.bounds[tile, 2:]).all(axis=1)
    is_inside &= region_of_cell[cell] == tiles.region[tile]
    return tile[is_inside], cell[is_inside]
