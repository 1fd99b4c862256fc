"""What there is to say of the TMA cores of an image that are not scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from her2qp.tiling.regions import LeftOut

if TYPE_CHECKING:
    from her2qp.qupath.objects import PathObject
    from her2qp.tiling.regions import RegionSet
    from her2qp.tiling.tiles import Tiles


def cores_left_out(cores: Sequence[PathObject], found: RegionSet, tiles: Tiles) -> tuple[LeftOut, ...]:
    """TMA cores that no tile was laid on, in the order of their grid.

    Parameters
    ----------
    cores
        All cores of the image.
    found
        The regions made of them.
    tiles
        The tiles laid on those regions.
    """
    left_out = {left.core.id: left for left in found.left_out}
    tiled = set(np.unique(tiles.region).tolist())
    for number, region in enumerate(found.regions):
        if region.core is not None and number not in tiled:
            left_out[region.core.id] = LeftOut(region.core, "too small for a tile, or without tissue")
    return tuple(left_out[core.id] for core in cores if core.id in left_out)


def notes_on_cores(cores: Sequence[PathObject], left_out: Sequence[LeftOut], *, is_scored: bool) -> Iterator[str]:
    """Say which cores are left out and why; or, where cores are not scored by themselves, that there are some.

    Parameters
    ----------
    cores
        All cores of the image.
    left_out
        Those that are not scored.
    is_scored
        Whether the cores are what is scored.
    """
    if cores and not is_scored:
        yield f"the image is a tissue microarray of {len(cores)} cores, here taken for one case: score it with --tma"
    for reason in dict.fromkeys(left.reason for left in left_out):
        names = ", ".join(left.core.name or str(left.core.id) for left in left_out if left.reason == reason)
        yield f"TMA cores not scored ({reason}): {names}"
