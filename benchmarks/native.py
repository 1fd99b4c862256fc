"""The native store beside QuPath's own reader and writer and beside paquo.

Usage: ``python benchmarks/native.py [--only WORD] [--repeat 3] [--tiles 100000 1000000] [--cells 200000]
[--cell-file FILE] [--images 1000] [--scored-images 200] [--add-tiles 10000]``

Each figure is the best of the repeats, measured in a process of its own, so that the peak memory (interpreter and
input included) is its own. QuPath is measured where ``PAQUO_QUPATH_DIR`` names one, with Java started and warm;
``PAQUO_JAVA_OPTS=-Xmx3g`` is enough. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from native_inputs import make_annotated_project, make_cell_project, make_tile_project, make_tiles, tile_file

from her2qp.qupath import open_project
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.transaction.disk import flush_file

FIRST_DATA = Path("project/data/1/data.qpdata")
OWN_TILES = 5_000
ANNOTATIONS, TILES_BESIDE = 10, 500


@dataclass(frozen=True)
class Timing:
    """Seconds of the best repeat, and peak memory of the process in MB."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Row:
    """A line of the table: a figure of ours beside one of somebody else, None where there is no QuPath."""

    work: str
    ours: Timing
    other: str
    seconds: float | None
    goal: str

    def __str__(self) -> str:
        seconds = f"{self.seconds:.2f}" if self.seconds is not None else "no QuPath here" if self.other else ""
        ratio = "" if self.seconds is None else f"{self.seconds / self.ours.seconds:.1f}"
        ours = f"{self.ours.seconds:.2f} | {self.ours.megabytes:,.0f}"
        return f"| {self.work} | {ours} | {self.other} | {seconds} | {ratio} | {self.goal} |"


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


def time_write(folder: Path, n: int, repeat: int) -> Timing:
    """Make a file of `n` tiles."""
    tile_file(10)  # imports
    tiles = make_tiles(n)

    def work() -> None:
        data = QpData.create(None)
        data.apply(HierarchyEdit(add_tiles=tiles))
        data.write(folder / "ours.qpdata")

    return measure(work, repeat)


def time_read(folder: Path, n: int, repeat: int) -> Timing:
    """Read `n` tiles as arrays."""
    QpData.from_bytes(tile_file(10)).tiles()

    def work() -> None:
        assert len(QpData.read(folder / FIRST_DATA).tiles()) == n  # noqa: S101 - all of them

    return measure(work, repeat)


def time_rewrite(folder: Path, _: int, repeat: int) -> Timing:
    """Read a file, serialize and write what was read, and force it to disk."""
    copy = folder / "copy.qpdata"

    def work() -> None:
        QpData.read(folder / FIRST_DATA).write(copy)
        flush_file(copy)

    return measure(work, repeat)


def time_rescore(folder: Path, _: int, repeat: int) -> Timing:
    """Replace our tiles in an image: lock, backup, read, edit, write, read back, compare, swap."""
    region = QpData.read(folder / FIRST_DATA).annotations[0].id
    new = iter([make_tiles(OWN_TILES, seed, region) for seed in range(1, repeat + 2)])

    def work() -> None:
        with open_project(folder / "project", "r+", backend="native") as project:
            image = project.images[0]
            old = frozenset(UUID(bytes=row.tobytes()) for row in image.tiles().ids)
            image.edit(
                HierarchyEdit(
                    remove=old,
                    set_measurements={region: {"HER2 score": float(time.time())}},
                    add_tiles=next(new),
                )
            )
            image.save()

    work()
    return measure(work, repeat)


def time_annotations(folder: Path, n: int, repeat: int) -> Timing:
    """Open a project and read name, class and outline of the annotations of the first `n` images."""

    def work() -> None:
        with open_project(folder / "project", backend="native") as project:
            found = [(a.name, a.path_class, a.geometry) for i in project.images[:n] for a in i.annotations]
        assert len(found) == n * ANNOTATIONS  # noqa: S101 - all of them

    return measure(work, repeat)


Result = TypeVar("Result")


def apart(work: Callable[..., Result], *arguments: object) -> Result:
    """Run something in a process of its own; this one stays small, because memory at its peak is inherited."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def in_qupath(task: str, folder: Path, n: int, repeat: int) -> float | None:
    """Run a task of ``in_qupath.py``; None where no QuPath is named."""
    if not os.environ.get("PAQUO_QUPATH_DIR"):
        return None
    command = [sys.executable, Path(__file__).with_name("in_qupath.py"), task, folder, str(n), str(repeat)]
    done = subprocess.run(  # noqa: S603 - a script of ours
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("seconds ")]
    return float(lines[-1].split()[1])


def tile_rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    for n in options.tiles:
        place = folder / f"tiles-{n}"
        apart(make_tile_project, place, n)
        written, read = (in_qupath(task, place, n, options.repeat) for task in ("write", "read"))
        wrote = apart(time_write, place, n, options.repeat)
        yield Row(f"write {n:,} tiles", wrote, "`PathIO.writeImageData`", written, "5; 1M: 5 s, 1,500 MB")
        found = apart(time_read, place, n, options.repeat)
        yield Row(f"read {n:,} tiles as arrays", found, "`PathIO.readHierarchy`", read, "5")
    n = options.add_tiles
    one_by_one = in_qupath("add_tile", place, n, 1)
    wrote = apart(time_write, place, n, options.repeat)
    yield Row(f"write {n:,} tiles", wrote, "paquo `add_tile` in a loop, `save`", one_by_one, "30")


def cell_rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    place = folder / "cells"
    n = apart(make_cell_project, place, options.cells, options.cell_file)
    megabytes = (place / FIRST_DATA).stat().st_size / 1e6
    read, written = (in_qupath(task, place, n, options.repeat) for task in ("read", "write"))
    rewritten = apart(time_rewrite, place, n, options.repeat)
    rescored = apart(time_rescore, place, n, options.repeat)
    objects = f"{n:,} objects of another tool ({megabytes:.0f} MB)"
    both = None if read is None or written is None else read + written
    yield Row(f"read and rewrite {objects}, unchanged", rewritten, "`readHierarchy` + `writeImageData`", both, "")
    work = f"replace {OWN_TILES:,} of our tiles beside {objects}: the whole transaction"
    yield Row(work, rescored, "rewriting, as in the row above", rewritten.seconds, "1 / 1.5 = 0.67")


def project_rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Few tiles beside the annotations of many images, and as many as scoring leaves beside those of some."""
    for n_images, n_tiles in ((options.images, TILES_BESIDE), (options.scored_images, OWN_TILES)):
        place = folder / f"images-{n_tiles}"
        apart(make_annotated_project, place, n_images, ANNOTATIONS, n_tiles)
        theirs = in_qupath("annotations", place, n_images, 1)
        for n in (n_images // 10, n_images):
            listed = apart(time_annotations, place, n, options.repeat)
            work = f"open a project, list {ANNOTATIONS} annotations of each of {n:,} images ({n_tiles:,} tiles beside)"
            if n < n_images:
                yield Row(work, listed, "", None, "")
            else:
                yield Row(work, listed, "paquo", theirs, "5; memory flat")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=("tiles", "cells", "images"), help="one part of the table")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tiles", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--add-tiles", type=int, default=10_000, help="tiles added one by one through paquo")
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--cell-file", type=Path, help="a data.qpdata whose cells are taken over and over")
    parser.add_argument("--images", type=int, default=1_000)
    parser.add_argument("--scored-images", type=int, default=200, help=f"images with {OWN_TILES:,} tiles")
    options = parser.parse_args()
    print("| work | her2qp, s | peak MB | beside | s | ratio | to reach |\n|---|---:|---:|---|---:|---:|---|")
    for part, rows in (("tiles", tile_rows), ("cells", cell_rows), ("images", project_rows)):
        if options.only in (None, part):
            with tempfile.TemporaryDirectory(prefix="her2qp-benchmark-") as name:
                for row in rows(Path(name), options):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
