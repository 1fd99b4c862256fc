"""The batch on which runtimes are compared and timed."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from her2qp.features.runtimes.base import Job, Run

TOLERANCE = 1e-3
"""Largest difference from eager PyTorch that a runtime may show, see :func:`difference`."""

_ROUNDS = 3


def probe_tiles(job: Job) -> NDArray[np.uint8]:
    """A batch that looks like H&E to a network: pink ground, dark purple blobs of several sizes, one tile of glass.

    The same on every machine. uint8, shape ``job.batch_shape``.
    """
    from scipy.ndimage import gaussian_filter

    n, side, _, _ = job.batch_shape
    random = np.random.default_rng(20180601)
    blur = np.linspace(2.0, 6.0, n)
    noise = np.stack([gaussian_filter(random.standard_normal((side, side)), width, mode="wrap") for width in blur])
    nuclei = 1.0 / (1.0 + np.exp(-4.0 * (noise / noise.std(axis=(1, 2), keepdims=True) - 0.8)))
    stroma, chromatin = np.array([228.0, 168.0, 200.0]), np.array([92.0, 58.0, 138.0])
    colour = stroma + nuclei[..., None] * (chromatin - stroma) + 6.0 * random.standard_normal((n, side, side, 3))
    tiles: NDArray[np.uint8] = colour.clip(0, 255).astype(np.uint8)
    tiles[-1] = 244
    return tiles


def difference(features: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Largest absolute difference, in units of the root mean square of the reference; infinite if not comparable."""
    if features.shape != reference.shape or not np.isfinite(features).all():
        return float("inf")
    scale = float(np.sqrt(np.mean(np.square(reference, dtype=np.float64))))
    largest = float(np.abs(features - reference).max())
    return largest / scale if scale else (0.0 if largest == 0 else float("inf"))


def tiles_per_second(runs: Mapping[str, Run], tiles: NDArray[np.uint8]) -> dict[str, float]:
    """Speed of runtimes that have run before.

    The best of a few rounds counts, since other work on the machine only ever slows down; the rounds take turns, so
    that such work does not meet one runtime alone.
    """
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(_ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            run(tiles)
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: len(tiles) / seconds for name, seconds in best.items()}
