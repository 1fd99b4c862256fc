"""What in a project her2qp wrote. Everything else belongs to a person or to another tool and is never touched.

A tile's id is derived from the region it was made for and from its position (a name-based UUID, RFC 9562, version 5).
So a tile proves by itself that her2qp wrote it: nobody else's object has the id that its own position yields.
Measurements and metadata are her2qp's where the marker ``HER2 run`` stands beside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.objects import PathObject, TileTable
from her2qp.scoring.vocabulary import METADATA_KEYS, REGION_MEASUREMENTS, REGION_RUN, RUN_KEY

_NAMESPACE = UUID("6b1f7d52-8f0e-5c43-9d53-1f6a2f0c9a57")
_STEPS_PER_PX = 100
"""Positions are compared in hundredths of a pixel: what survives QuPath's GeoJSON."""


def region_key(parent_id: UUID | None, image_id: int) -> UUID:
    """Return the id that stands for a region in the ids of its tiles.

    Parameters
    ----------
    parent_id
        Of its annotation or TMA core; None for whole tissue, which is keyed by the image.
    image_id
        Of the image entry.
    """
    return parent_id if parent_id is not None else _name_based(_NAMESPACE, f"image/{image_id}".encode())


def tile_ids(region: UUID, bounds: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the ids of a region's tiles.

    Parameters
    ----------
    region
        See :func:`region_key`.
    bounds
        x0, y0, x1, y1 in pixels at full resolution, shape (n, 4).

    Returns
    -------
    ndarray
        16 bytes a tile, shape (n, 16), uint8.
    """
    steps = np.rint(np.asarray(bounds, np.float64) * _STEPS_PER_PX).astype(">i8")
    prefix = hashlib.sha1(_NAMESPACE.bytes + region.bytes, usedforsecurity=False)
    raw = bytearray()
    for row in steps:
        digest = prefix.copy()
        digest.update(row.tobytes())
        raw += digest.digest()[:16]
    ids = np.frombuffer(bytes(raw), np.uint8).reshape(-1, 16).copy()
    ids[:, 6] = ids[:, 6] & 0x0F | 0x50
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    return ids


def _name_based(namespace: UUID, name: bytes) -> UUID:
    return UUID(bytes=hashlib.sha1(namespace.bytes + name, usedforsecurity=False).digest()[:16], version=5)


def owned_tiles(tiles: TileTable, regions: Iterable[UUID]) -> NDArray[np.bool_]:
    """Tell which tiles her2qp wrote.

    Parameters
    ----------
    tiles
        All tiles of an image.
    regions
        Keys of the regions they may have been made for, beyond their parents: annotations and cores of the image,
        regions that earlier runs recorded. A tile that was moved to another parent is recognised by these.

    Returns
    -------
    ndarray
        Shape (n,), bool.
    """
    owned = np.zeros(len(tiles), bool)
    candidates = np.flatnonzero(tiles.ids[:, 6] >> 4 == 5) if len(tiles) else np.empty(0, np.intp)
    for index, parent in enumerate(tiles.parent_ids):
        if parent is not None:
            rows = candidates[tiles.parent_index[candidates] == index]
            owned[rows] = _ids_match(tiles, rows, parent)
    known = set(tiles.parent_ids)
    for region in dict.fromkeys(regions):
        rows = candidates[~owned[candidates]]
        if not len(rows):
            break
        if region in known:
            rows = rows[[tiles.parent_ids[p] != region for p in tiles.parent_index[rows]]]
        owned[rows] = _ids_match(tiles, rows, region)
    return owned


def _ids_match(tiles: TileTable, rows: NDArray[np.intp], region: UUID) -> NDArray[np.bool_]:
    match: NDArray[np.bool_] = (tile_ids(region, tiles.bounds[rows]) == tiles.ids[rows]).all(axis=1)
    return match


def id_set(ids: NDArray[np.uint8]) -> frozenset[UUID]:
    """Ids of shape (n, 16) as UUIDs."""
    return frozenset(UUID(bytes=row.tobytes()) for row in ids)


def owned_measurements(parent: PathObject, recorded: Iterable[str] | None) -> frozenset[str]:
    """Names of the measurements of an annotation or TMA core that her2qp wrote.

    Parameters
    ----------
    parent
        The annotation or core.
    recorded
        Names that the record of the run that it bears says were written there; None if there is no such record, in
        which case every one of her2qp's names counts.
    """
    if REGION_RUN not in parent.measurements:
        return frozenset()
    mine = REGION_MEASUREMENTS if recorded is None else recorded
    return frozenset(name for name in mine if name in parent.measurements)


def owned_metadata(metadata: Mapping[str, str], recorded: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the keys of an entry's metadata that her2qp wrote.

    Parameters
    ----------
    metadata
        Of the image entry.
    recorded
        What the record of the run that the entry names says it wrote; None if there is no such record, in which case
        every one of her2qp's keys counts.
    """
    if RUN_KEY not in metadata:
        return frozenset()
    mine = METADATA_KEYS if recorded is None else tuple(recorded)
    return frozenset(key for key in mine if key in metadata)
