"""50,000 tiles with 8 measurements into and out of a project through QuPath: her2qp's paquo store against plain paquo.

Usage: ``PAQUO_QUPATH_DIR=… python benchmarks/qupathstore.py [--tiles 50000]``; needs a QuPath of version 0.5 or later.

Plain paquo calls ``hierarchy.add_tile`` in a loop and saves, and reads by looking at each detection. Each way runs in
a process of its own, on its own copy of a project of two images: the first is done with the start of Java (cold), the
second in the same virtual machine (warm). her2qp's times include locking, backup, and reading back and comparing what
was written.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import shapely
import tifffile
from native import make_tiles
from rich.console import Console
from rich.table import Table

from her2qp.qupath import open_project
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import TileTable

IMAGES = 2


def quiet_paquo() -> None:
    """Start QuPath through paquo without its debugging messages, as her2qp does."""
    import paquo.java as java

    java.LogManager.setWarn()


def make_project(folder: Path) -> None:
    """A project of blank images, made by paquo."""
    quiet_paquo()
    from paquo.projects import QuPathProject

    folder.mkdir()
    with QuPathProject(folder / "project", mode="x") as project:
        for number in range(IMAGES):
            image = folder / f"image {number}.tif"
            tifffile.imwrite(image, np.full((512, 512, 3), 240, np.uint8), photometric="rgb", tile=(256, 256))
            entry = project.add_image(image)
            entry.hierarchy.add_annotation(shapely.box(0, 0, 512, 512))


def write_by_loop(project: Path, tiles: TileTable) -> Iterator[None]:
    """Add tiles one by one, and save; pauses after each image."""
    quiet_paquo()
    from paquo.classes import QuPathPathClass
    from paquo.projects import QuPathProject

    classes = [QuPathPathClass(str(path_class)) for path_class in tiles.classes]
    for number in range(IMAGES):
        with QuPathProject(project, mode="r+") as opened:
            hierarchy = opened.images[number].hierarchy
            for row in range(len(tiles)):
                values = dict(zip(tiles.names, tiles.values[row].tolist(), strict=True))
                hierarchy.add_tile(shapely.box(*tiles.bounds[row]), classes[tiles.class_index[row]], values)
        yield


def write_by_store(project: Path, tiles: TileTable) -> Iterator[None]:
    with open_project(project, "r+", "paquo") as opened:
        for number in range(IMAGES):
            opened.images[number].edit(HierarchyEdit(add_tiles=tiles))
            opened.images[number].save()
            yield


def read_by_loop(project: Path, tiles: TileTable) -> Iterator[None]:
    quiet_paquo()
    from paquo.projects import QuPathProject

    for number in range(IMAGES):
        with QuPathProject(project, mode="r") as opened:
            seen = [
                (tile.roi.bounds, tile.path_class and tile.path_class.name, dict(tile.measurements))
                for tile in opened.images[number].hierarchy.detections
            ]
        require(len(seen) == len(tiles))
        yield


def read_by_store(project: Path, tiles: TileTable) -> Iterator[None]:
    with open_project(project, "r", "paquo") as opened:
        for number in range(IMAGES):
            require(np.array_equal(np.sort(opened.images[number].tiles().ids, axis=0), np.sort(tiles.ids, axis=0)))
            yield


def require(as_expected: bool) -> None:
    if not as_expected:
        sys.exit("what was read is not what was written")


def timed(work: Callable[[Path, TileTable], Iterator[None]], project: Path, count: int) -> list[float]:
    """Seconds for each image."""
    tiles, times = make_tiles(count), []
    start = time.perf_counter()
    for _ in work(project, tiles):
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    return times


def in_process(
    work: Callable[[Path, TileTable], Iterator[None]], project: Path, count: int
) -> tuple[list[float], float]:
    """Do work in a process of its own: seconds for each image, and processor seconds of all."""
    before = os.times()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        times = pool.apply(timed, (work, project, count))
        pool.close()
        pool.join()
    after = os.times()
    return times, sum(after[2:4]) - sum(before[2:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiles", type=int, default=50_000)
    options = parser.parse_args()
    table = Table("work", "plain paquo: s", "her2qp: s", "ratio", title=f"{options.tiles:,} tiles, 8 measurements each")
    with tempfile.TemporaryDirectory() as name:
        made, plain, ours = Path(name) / "made", Path(name) / "plain", Path(name) / "ours"
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(make_project, (made,))
        for copy in (plain, ours):
            shutil.copytree(made / "project", copy)
        for what, loop, store in (("write", write_by_loop, write_by_store), ("read", read_by_loop, read_by_store)):
            slow, slow_cpu = in_process(loop, plain, options.tiles)
            fast, fast_cpu = in_process(store, ours, options.tiles)
            for name, one, other in (
                ("cold", slow[0], fast[0]), ("warm", slow[1], fast[1]), ("processor time", slow_cpu, fast_cpu)
            ):  # fmt: skip
                table.add_row(f"{what}, {name}", f"{one:.2f}", f"{other:.2f}", f"{one / other:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
