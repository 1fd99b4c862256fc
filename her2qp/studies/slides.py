"""A QuPath project of artificial slides with invented labels, for what must go through pixels."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from her2qp.demonstration.annotated import add_slide, draw_annotated
from her2qp.qupath import create_project
from her2qp.scheme import Scheme

LABEL_KEY, PATIENT_KEY, SITE_KEY = "HER2 drawn", "Patient ID", "Site"
"""Metadata keys of the images; the label says how the slide was drawn, and is no result of any tissue."""


def make_artificial_project(
    folder: str | Path, levels: Sequence[int], *, side_px: int = 3072, sites: int = 4, seed: int = 0, processes: int = 2
) -> Path:
    """Draw slides and put them, annotated, into a new project.

    Parameters
    ----------
    folder
        Gets ``slides`` and ``project``.
    levels
        HER2 level of each slide, 0 to 3. Every slide is of a patient of its own.
    side_px
        Side of a slide in pixels of 0.25 µm.
    sites
        Number of sites that the metadata name; all draw alike. They take turns after every four slides, so that no
        site has a level of its own.
    seed
        Of the first slide; the others follow.
    processes
        That draw.

    Returns
    -------
    Path
        The ``.qpproj``.

    Raises
    ------
    ProjectAccessError
        There is a project already, or the folder cannot be written.
    """
    place = Path(folder)
    grades = Scheme.GRADES.classes
    with create_project(place / "project") as project:
        slides = place / "slides"
        slides.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            drawn = [
                pool.submit(draw_annotated, slides / f"drawing-{k + 1:03d}.svs", level, seed + k, (side_px, side_px))
                for k, level in enumerate(levels)
            ]
            for k, (level, future) in enumerate(zip(levels, drawn, strict=True)):
                path, objects = future.result()
                told = {
                    LABEL_KEY: grades[level],
                    PATIENT_KEY: f"D{seed}-{k + 1:03d}",
                    SITE_KEY: f"drawing table {k // len(grades) % sites + 1}",
                }
                add_slide(project, path, objects, told)
        return project.path
