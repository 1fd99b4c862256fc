"""Tiles with 8 measurements into and out of ``data.qpdata``: in pure Python, and through paquo where QuPath is found.

Run: ``python benchmarks/native.py [--sizes 1000 100000 1000000] [--repeat 3]``. Each cell is the best of the repeats,
measured in a process of its own so that the peak memory is its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import TileTable

N_MEASUREMENTS = 8


@dataclass(frozen=True)
class Timing:
    """Seconds of the best repeat, and peak memory of the process in MB, tiles and interpreter included."""

    seconds: float
    megabytes: float


def make_tiles(n: int) -> TileTable:
    """`n` tiles of four classes under the root."""
    rng = np.random.default_rng(0)
    corners = np.column_stack((np.arange(n) % 1000, np.arange(n) // 1000)) * 256.0
    return TileTable(
        ids=rng.integers(0, 256, (n, 16), dtype=np.uint8),
        bounds=np.hstack((corners, corners + 256)),
        classes=tuple(PathClass((f"HER2 {grade}",)) for grade in ("0", "1+", "2+", "3+")),
        class_index=rng.integers(0, 4, n).astype(np.int32),
        names=tuple(f"HER2 m{i}" for i in range(N_MEASUREMENTS)),
        values=rng.random((n, N_MEASUREMENTS), dtype=np.float32),
        parent_ids=(None,),
        parent_index=np.zeros(n, dtype=np.int32),
    )


def build(tiles: TileTable) -> bytes:
    """Write a file with the tiles."""
    data = QpData.create(None)
    data.apply(HierarchyEdit(add_tiles=tiles))
    return data.to_bytes()


def peak_megabytes() -> float:
    """Highest memory of this process so far."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure(work: Callable[[], object], repeat: int) -> Timing:
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return Timing(best, peak_megabytes())


def measure_native(task: str, n: int, repeat: int) -> Timing:
    """Time one task of the native store."""
    build(make_tiles(10))  # imports
    tiles = make_tiles(n)
    if task == "build":
        return measure(lambda: build(tiles), repeat)
    raw = build(tiles)
    if task == "read":
        return measure(lambda: QpData.from_bytes(raw).tiles(), repeat)
    return measure(lambda: QpData.from_bytes(raw).to_bytes(), repeat)


def measure_paquo(task: str, n: int, repeat: int) -> Timing | None:
    """Time one task of the paquo store; None where no QuPath is found."""
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    table = Table(
        "task", "tiles", "native: s", "tiles/s", "peak MB", "paquo: s", title=f"{N_MEASUREMENTS} measurements a tile"
    )
    context = multiprocessing.get_context("spawn")
    for task in ("build", "read", "rewrite"):
        for n in options.sizes:
            with context.Pool(1) as pool:
                native = pool.apply(measure_native, (task, n, options.repeat))
            paquo = measure_paquo(task, n, options.repeat)
            table.add_row(
                task,
                f"{n:,}",
                f"{native.seconds:.3f}",
                f"{n / native.seconds:,.0f}",
                f"{native.megabytes:,.0f}",
                "no QuPath" if paquo is None else f"{paquo.seconds:.3f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
