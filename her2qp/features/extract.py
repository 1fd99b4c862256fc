"""Features of many tiles of a slide: reading and computing at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from her2qp.features.extractor import Extractor
from her2qp.features.store import FeatureStore
from her2qp.slides import Slide

if TYPE_CHECKING:
    from her2qp.tiling import Tiles

READ_TILES = 128
"""Tiles read at once: neighbours share encoded tiles of the slide; 128 of 256 px are 25 MB."""

KEEP_TILES = 4096
"""Tiles after which the store keeps what there is: so much a kill can cost, a minute or two."""

READ_AHEAD = 2
"""Reads that are under way or waiting while the network computes; bounds the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Extracted:
    """Features of tiles, and what they took.

    Parameters
    ----------
    features
        Float32 (n, dimension), one row a tile in the order asked for.
    computed
        How many of them the store did not know.
    is_kept
        Whether the store, if there is one, has them all now.
    """

    features: NDArray[np.float32]
    computed: int
    is_kept: bool


def extract_features(
    slide: Slide,
    tiles: Tiles,
    extractor: Extractor,
    store: FeatureStore | None = None,
    progress: Callable[[int], None] | None = None,
) -> Extracted:
    """Features of tiles of a slide.

    Parameters
    ----------
    slide
        The slide, open.
    tiles
        Where the tiles are.
    extractor
        Makes features of pixels.
    store
        Knows features of earlier runs and keeps the new ones; tiles that it knows are not read. None: no store.
    progress
        Called from this thread with the number of tiles that have been finished since the last call.

    Raises
    ------
    SlideFormatError
        A part of the slide is damaged.
    ExtractorError
        The network gives something else than it promises.
    """
    report = progress or (lambda finished: None)
    bounds = np.ascontiguousarray(tiles.bounds, dtype=np.float64)
    if store is None:
        features, missing = np.empty((len(bounds), extractor.info.dimension), np.float32), np.arange(len(bounds))
    else:
        known = store.load(slide, extractor.info, bounds)
        features, missing = known.features, np.flatnonzero(~known.found)
        report(len(bounds) - len(missing))
    kept, is_kept = 0, True
    for rows, pixels in _read_ahead(slide, bounds, missing, extractor.info.tile_px):
        features[rows] = extractor(pixels)
        report(len(rows))
        ready = int(np.searchsorted(missing, rows[-1])) + 1
        if store is not None and (ready - kept >= KEEP_TILES or ready == len(missing)):
            new, kept = missing[kept:ready], ready
            is_kept &= store.add(slide, extractor, bounds[new], features[new])
    return Extracted(features, len(missing), is_kept)


def _read_ahead(
    slide: Slide, bounds: NDArray[np.float64], rows: NDArray[np.intp], tile_px: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Rows and their pixels, in order, always a few reads ahead of the caller."""
    batches = [rows[start : start + READ_TILES] for start in range(0, len(rows), READ_TILES)]
    under_way: deque[tuple[NDArray[np.intp], Future[NDArray[np.uint8]]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="her2qp-read") as pool:
        try:
            for batch in batches:
                under_way.append((batch, pool.submit(slide.read_tiles, bounds[batch], tile_px)))
                if len(under_way) > READ_AHEAD:
                    ready, pixels = under_way.popleft()
                    yield ready, pixels.result()
            while under_way:
                ready, pixels = under_way.popleft()
                yield ready, pixels.result()
        finally:
            for _, unread in under_way:
                unread.cancel()
