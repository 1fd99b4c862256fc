"""The tiles of a slide that go into the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from her2qp.slides import Slide
from her2qp.tiling.assign import one_region_each, tiles_in_region
from her2qp.tiling.grid import TileGrid
from her2qp.tiling.regions import Region, RegionSet
from her2qp.tiling.tissue import TissueMask


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """Tiles as arrays, one row a tile, ordered by region, then row by row.

    Parameters
    ----------
    bounds
        x0, y0, x1, y1 in level-0 pixels, shape (n, 4), float64. A tile at the right or lower border may reach beyond
        the slide; what lies there is white.
    region
        Number of the region it belongs to, shape (n,), int32.
    region_fraction
        Share of the whole tile inside that region, shape (n,), float32.
    tissue_fraction
        Share of the whole tile that is tissue, shape (n,), float32.
    grid
        Column and row in the grid, shape (n, 2), int32.
    """

    bounds: NDArray[np.float64]
    region: NDArray[np.int32]
    region_fraction: NDArray[np.float32]
    tissue_fraction: NDArray[np.float32]
    grid: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def centers(self) -> NDArray[np.float64]:
        """X and y of the centres in level-0 pixels, shape (n, 2)."""
        return (self.bounds[:, :2] + self.bounds[:, 2:]) / 2


@dataclass(frozen=True, slots=True, eq=False)
class PlacedTiles:
    """The tiles that the rules leave, and what they left out.

    Parameters
    ----------
    tiles
        The tiles.
    reason
        Why there are none; empty if there are some.
    without_tissue
        Number of tiles that lie in a region but were left out for want of tissue.
    """

    tiles: Tiles
    reason: str = ""
    without_tissue: int = 0


def make_tiles(
    slide: Slide,
    regions: RegionSet,
    grid: TileGrid,
    *,
    min_region: float = 0.5,
    min_tissue: float = 0.25,
    tissue: TissueMask | None = None,
) -> PlacedTiles:
    """The tiles of a grid that lie in regions and hold tissue.

    Both shares are of the whole tile, also where it reaches beyond the slide: a tile at the border is kept or not by
    the same rule as all others. A tile belongs to the region with the largest share of it.

    Parameters
    ----------
    slide
        The slide; read only for its tissue, if `tissue` is None.
    regions
        Disjoint regions of the slide.
    grid
        The grid, with the slide's pixel size.
    min_region
        Least share of a tile inside its region; 0 keeps every tile that touches one.
    min_tissue
        Least share of tissue.
    tissue
        The slide's tissue, if it is known already.

    Returns
    -------
    PlacedTiles
        Possibly none, with the reason.
    """
    if not regions.regions:
        return PlacedTiles(_NO_TILES, regions.reason)
    cells, fractions, owner = _claims(regions.regions, grid, slide.size, min_region)
    if len(cells) == 0:
        return PlacedTiles(_NO_TILES, _why_none_fits(regions.regions, grid, min_region))
    bounds = grid.bounds(cells)
    tissue_fraction = (tissue or TissueMask.from_slide(slide, grid.slide_mpp)).fraction(bounds)
    kept = tissue_fraction >= min_tissue
    tiles = Tiles(bounds[kept], owner[kept], fractions[kept], tissue_fraction[kept], cells[kept])
    reason = "" if len(tiles) else f"{_noun(regions.regions)} holds no tissue"
    return PlacedTiles(tiles, reason, without_tissue=len(cells) - len(tiles))


def _claims(
    regions: Sequence[Region], grid: TileGrid, slide_size: tuple[int, int], min_region: float
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """Cells of the grid that lie in regions, how far, and in which, each cell once."""
    claims = [tiles_in_region(region, grid, slide_size, min_region) for region in regions]
    cells = np.concatenate([cells for cells, _ in claims])
    fractions = np.concatenate([fractions for _, fractions in claims])
    owner = np.repeat(np.arange(len(regions), dtype=np.int32), [len(cells) for cells, _ in claims])
    precedence = np.empty(len(regions), np.intp)
    precedence[sorted(range(len(regions)), key=lambda i: str(regions[i].parent_id))] = np.arange(len(regions))
    kept = one_region_each(cells, fractions, owner, precedence)
    return cells[kept], fractions[kept].astype(np.float32), owner[kept]


def _why_none_fits(regions: Sequence[Region], grid: TileGrid, min_region: float) -> str:
    share = f"{min_region:.0%} of a tile"
    if max(region.geometry.area for region in regions) < min_region * grid.size0**2:
        return f"{_noun(regions)} smaller than {share}"
    return f"no place in the {_noun(regions)} holds {share}"


def _noun(regions: Sequence[Region]) -> str:
    return "annotation" if regions[0].core is None else "TMA core"


_NO_TILES = Tiles(
    np.empty((0, 4)),
    np.empty(0, np.int32),
    np.empty(0, np.float32),
    np.empty(0, np.float32),
    np.empty((0, 2), np.int32),
)
