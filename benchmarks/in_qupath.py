"""The same work done by QuPath's own code and by paquo, for ``native.py``; needs ``PAQUO_QUPATH_DIR``.

Usage: ``python benchmarks/in_qupath.py TASK FOLDER NUMBER REPEATS``, prints ``seconds`` and those of the best repeat in
a line of its own. Java is started and, but for what takes minutes, warm before anything is timed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


def best(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the best of some repeats after one more that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def time_write(folder: Path, _: int, repeats: int) -> float:
    """``PathIO.writeImageData`` of the first image of a project."""
    import paquo.java as java
    from paquo.projects import QuPathProject

    path_io, file = java.JClass("qupath.lib.io.PathIO"), java.JClass("java.io.File")
    with QuPathProject(folder / "project", mode="r+") as project:
        data = project.images[0].java_object.readImageData()
        return best(lambda: path_io.writeImageData(file(str(folder / "written.qpdata")), data), repeats)


def time_read(folder: Path, _: int, repeats: int) -> float:
    """``PathIO.readHierarchy`` of the first image of a project."""
    import paquo.java as java

    path_io, file = java.JClass("qupath.lib.io.PathIO"), java.JClass("java.io.File")
    return best(lambda: path_io.readHierarchy(file(str(folder / "project/data/1/data.qpdata"))), repeats)


def time_add_tile(folder: Path, n: int, repeats: int) -> float:
    """`n` times ``hierarchy.add_tile`` with 8 measurements in paquo, and saving the image."""
    from paquo.classes import QuPathPathClass
    from paquo.projects import QuPathProject
    from shapely import box

    classes = [QuPathPathClass(f"HER2 {grade}") for grade in ("0", "1+", "2+", "3+")]

    def work() -> float:
        with tempfile.TemporaryDirectory() as name, QuPathProject(Path(name) / "project", mode="x") as project:
            image = project.add_image(folder / "slide.tif")
            start = time.perf_counter()
            for i in range(n):
                x, y = i % 1000 * 256, i // 1000 * 256
                measurements = {f"HER2 m{k}": (i + k) / n for k in range(8)}
                image.hierarchy.add_tile(box(x, y, x + 256, y + 256), classes[i % 4], measurements)
            image.save()
            return time.perf_counter() - start

    return min(work() for _ in range(repeats))


def time_annotations(folder: Path, _: int, repeats: int) -> float:
    """Open a project with paquo and read name, class and outline of the annotations of all images."""
    from paquo.projects import QuPathProject

    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        with QuPathProject(folder / "project", mode="r") as project:
            listed = [(a.name, a.path_class.name, a.roi) for i in project.images for a in i.hierarchy.annotations]
        seconds.append(time.perf_counter() - start)
        print(len(listed), "annotations")
    return min(seconds)


TASKS = {
    "write": time_write,
    "read": time_read,
    "add_tile": time_add_tile,
    "annotations": time_annotations,
}


def main() -> None:
    import paquo.java as java
    import paquo.projects  # noqa: F401 - turns the log on

    java.LogManager.setWarn()
    task, folder, n, repeats = sys.argv[1:]
    print("seconds", TASKS[task](Path(folder), int(n), int(repeats)))


if __name__ == "__main__":
    main()
