"""Many numbers as text at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.geojson.shapes import DECIMALS


def coordinate_texts(values: NDArray[np.float64]) -> NDArray[np.object_]:
    """Coordinates rounded to `DECIMALS` places, as texts in an array of the same shape.

    Tiles of a grid share most of their coordinates, so each distinct one is printed once.
    """
    distinct, inverse = np.unique(np.round(values, DECIMALS) + 0.0, return_inverse=True)
    texts = np.array([repr(x)[:-2] if x == int(x) else repr(x) for x in distinct.tolist()], dtype=object)
    return texts[inverse].reshape(values.shape)


def single_texts(values: NDArray[np.float32]) -> list[str]:
    """Finite numbers of single precision with the digits that give the same number back: seven where enough, or nine.

    Parameters
    ----------
    values
        Shape (n,), float32.
    """
    wide = values.astype(np.float64)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        exponent = np.floor(np.log10(np.abs(wide)))
        scale = 10.0 ** np.where(np.isfinite(exponent), 6.0 - exponent, 0.0)
        short = np.rint(wide * scale) / scale
        enough = short.astype(np.float32) == values
    short[~enough] = wide[~enough]
    return [
        f"{number:.7g}" if is_short else f"{number:.9g}"
        for number, is_short in zip(short.tolist(), enough.tolist(), strict=True)
    ]
