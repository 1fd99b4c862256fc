"""From annotations to tiles: which parts of a slide are looked at."""

from her2qp.tiling.cores import core_regions
from her2qp.tiling.grid import TileGrid
from her2qp.tiling.regions import TUMOR, LeftOut, Region, RegionSet, make_regions, whole_slide_region
from her2qp.tiling.tiles import PlacedTiles, Tiles, make_tiles
from her2qp.tiling.tissue import TissueMask

__all__ = [
    "TUMOR",
    "LeftOut",
    "PlacedTiles",
    "Region",
    "RegionSet",
    "TileGrid",
    "Tiles",
    "TissueMask",
    "core_regions",
    "make_regions",
    "make_tiles",
    "whole_slide_region",
]
