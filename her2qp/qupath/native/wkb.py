"""Well-known binary from files, looked over before GEOS sees it."""

from __future__ import annotations

import struct

import shapely
from shapely import Geometry

from her2qp.errors import DataFileError

_POINT, _LINE, _POLYGON, _MULTI = 1, 2, 3, (4, 5, 6, 7)
_MAX_DEPTH = 32


def read_wkb(data: bytes) -> Geometry:
    """Parse 2D well-known binary.

    Raises
    ------
    DataFileError
        It is damaged, has another dimension, or nests deeper than any drawing (GEOS would overflow its stack).
    """
    try:
        _check_nesting(data)
        return shapely.from_wkb(data)
    except (struct.error, shapely.errors.ShapelyError) as error:
        raise DataFileError(f"the geometry of a ROI is damaged: {error}") from error


def _check_nesting(data: bytes) -> None:
    missing = [1]
    position = 0
    while missing:
        if missing[-1] == 0:
            missing.pop()
            continue
        missing[-1] -= 1
        order = ">" if data[position : position + 1] == b"\x00" else "<"
        (kind,) = struct.unpack_from(order + "I", data, position + 1)
        position += 5
        if kind == _POINT:
            position += 16
        elif kind == _LINE:
            position += 4 + 16 * struct.unpack_from(order + "I", data, position)[0]
        elif kind == _POLYGON:
            (n_rings,) = struct.unpack_from(order + "I", data, position)
            position += 4
            for _ in range(n_rings):
                position += 4 + 16 * struct.unpack_from(order + "I", data, position)[0]
        elif kind in _MULTI and len(missing) < _MAX_DEPTH:
            missing.append(struct.unpack_from(order + "I", data, position)[0])
            position += 4
        else:
            raise DataFileError(f"the geometry of a ROI is of a kind that QuPath does not write: {kind}")
    if position != len(data):
        raise DataFileError("the geometry of a ROI is damaged: it does not end where its data ends")
