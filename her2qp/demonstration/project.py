"""Build the example project and score it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import shapely

from her2qp.demonstration.annotated import IGNORE, TUMOR, add_slide, annotation, draw_annotated
from her2qp.demonstration.realslide import fetch_real_slide
from her2qp.errors import DownloadError, ProjectAccessError, ProjectNotFoundError
from her2qp.qupath.objects import PathObject
from her2qp.scoring.monitor import Monitor

if TYPE_CHECKING:
    from her2qp.scoring.monitor import Monitor
    from her2qp.scoring.run import RunResult

_CASES = ((1, 4101), (3, 4303))
"""HER2 level and seed of each artificial slide; the seeds were not used to train the demonstration model."""
_SIZE = (12288, 12288)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """Where the demonstration is, and what came of it."""

    project: Path
    report: Path
    result: RunResult


def run_demonstration(out: Path, monitor: Monitor | None = None) -> Demonstration:
    """Build the example project where it is not there yet, score it, and write a report.

    Parameters
    ----------
    out
        Folder to make.
    monitor
        Is told what happens.

    Raises
    ------
    ProjectAccessError
        The folder cannot be made, or an unfinished demonstration lies there.
    """
    from her2qp.api import score

    report = out / "report.html"
    project = build_project(out, monitor)
    result = score(project, report=report, monitor=monitor)
    return Demonstration(project, report, result)


def build_project(out: Path, monitor: Monitor | None = None) -> Path:
    """Make the example project unless it is there already.

    Returns
    -------
    Path
        The ``.qpproj``.
    """
    from her2qp.qupath.projectfile import find_project

    folder, finished = out / "project", out / "complete"
    if finished.is_file():
        try:
            return find_project(folder)
        except ProjectNotFoundError:
            finished.unlink()
    if folder.exists():
        raise ProjectAccessError(
            "there is a project already, and it is no finished demonstration",
            where=folder,
            remedy="Remove it, or name another folder with --out.",
        )
    slides = out / "slides"
    try:
        slides.mkdir(parents=True, exist_ok=True)
        path = _build(folder, slides, monitor or Monitor())
        finished.touch()
    except OSError as error:
        raise ProjectAccessError(f"the demonstration cannot be built ({error.strerror})", where=out) from error
    return path


def _build(folder: Path, slides: Path, monitor: Monitor) -> Path:
    from her2qp.qupath import create_project

    monitor.step("drawing two artificial H&E slides, 12,288 px a side")
    with ProcessPoolExecutor(len(_CASES), mp_context=multiprocessing.get_context("spawn")) as pool:
        names = {level: slides / f"artificial-HER2-{level}.svs" for level, _ in _CASES}
        drawn = [pool.submit(draw_annotated, names[level], level, seed, _SIZE) for level, seed in _CASES]
        monitor.step("fetching the real slide CMU-1-Small-Region.svs")
        try:
            real: Path | None = fetch_real_slide(slides)
        except DownloadError as error:
            real = None
            monitor.step(f"{error} Going on without the real slide.")
        annotated = dict(future.result() for future in drawn)
    with create_project(folder) as project:
        if real is not None:
            add_slide(project, real, list(_example_regions()))
        for path, objects in annotated.items():
            add_slide(project, path, objects)
        project.save()
        return project.path


def _example_regions() -> Iterator[PathObject]:
    """Regions on the real slide: an example of a shape with a hole and of an exclusion, no pathologist's judgement."""
    outline = [(150, 120), (1900, 80), (2100, 1300), (1750, 2650), (900, 2800), (120, 2200), (60, 900)]
    hole = [(900, 900), (1300, 900), (1300, 1400), (900, 1400)]
    yield annotation("real/tumor", shapely.Polygon(outline, [hole]), TUMOR)
    yield annotation("real/ignore", shapely.box(1500, 1900, 2050, 2500), IGNORE)
