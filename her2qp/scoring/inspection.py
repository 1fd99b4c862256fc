"""What a project holds, found out without a JVM and without reading a pixel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from her2qp.errors import Her2qpError
from her2qp.qupath.objects import ObjectType
from her2qp.scoring.records import History, RunRecords
from her2qp.scoring.run import existing_of
from her2qp.scoring.vocabulary import METADATA_KEYS, RUN_KEY

if TYPE_CHECKING:
    from her2qp.qupath.imageentry import ImageEntry
from her2qp.qupath.project import Project

_DETECTIONS = (ObjectType.DETECTION, ObjectType.TILE, ObjectType.CELL)


def inspect_project(project: Project) -> dict[str, Any]:
    """Describe a project as the ``inspect --json`` document.

    Parameters
    ----------
    project
        Open for reading.
    """
    history = RunRecords(project.folder).history()
    return {
        "project": str(project.path),
        "qupath_version": project.qupath_version,
        "backend": project.backend,
        "images": [_inspect_image(entry, history) for entry in project.images],
    }


def _inspect_image(entry: ImageEntry, history: History) -> dict[str, Any]:
    problems: list[str] = []
    calibration, size = entry.pixel_calibration, entry.size
    width, height = size or (None, None)
    facts: dict[str, Any] = {
        "id": entry.id,
        "name": entry.name,
        "uri": entry.uri,
        "path": None if entry.slide_path is None else str(entry.slide_path),
        "found": entry.slide_path is not None,
        "width": width,
        "height": height,
        "mpp": None if calibration.width is None else [calibration.width, calibration.height],
        "image_type": None,
        "annotations": {},
        "detections": 0,
        "her2qp": None,
        "problems": problems,
    }
    if entry.server_problem:
        problems.append(entry.server_problem)
    try:
        classes = Counter("" if a.path_class is None else str(a.path_class) for a in entry.annotations)
        counts = entry.hierarchy.count()
        facts["image_type"] = str(entry.image_type)
        facts["annotations"] = {name or "Unclassified": n for name, n in sorted(classes.items())}
        if entry.tma_cores:
            missing = sum(core.is_missing for core in entry.tma_cores)
            facts["tma_cores"] = {"present": len(entry.tma_cores) - missing, "missing": missing}
        facts["detections"] = sum(counts[kind] for kind in _DETECTIONS)
        facts["her2qp"] = _earlier_results(entry, history)
        problems.extend(_overwritten(entry.id, facts["her2qp"], history))
    except Her2qpError as error:
        problems.append(str(error))
    problems.extend(_pixel_size_problems(entry))
    return facts


def _earlier_results(entry: ImageEntry, history: History) -> dict[str, Any] | None:
    existing = existing_of(entry, history)
    tiles = int(existing.owned_tile_rows().sum())
    mine = existing.owned_metadata()
    if not tiles and not mine:
        return None
    return {
        "run": existing.metadata.get(RUN_KEY),
        "tiles": tiles,
        "metadata": {key: existing.metadata[key] for key in METADATA_KEYS if key in mine},
    }


def _overwritten(image_id: int, found: dict[str, Any] | None, history: History) -> Iterator[str]:
    """What the records say of the image and the image does not: QuPath saved it from its memory after a run."""
    last = history.results.get(image_id)
    if last is None:
        return
    present, tiles = (None, 0) if found is None else (found["run"], found["tiles"])
    cause = "QuPath had the project open and saved its own state over it"
    if last.run is None and present is not None:
        yield f"the result of run {present}, which run {last.by} removed, is there again: {cause}"
    elif last.run is not None and present is None:
        what = "metadata" if tiles else "result"
        yield f"the {what} of run {last.run} is gone: {cause}; score the image again"
    elif present != last.run:
        yield f"holds the result of run {present} instead of the later one of run {last.run}: {cause}"
    if tiles < last.tiles and present == last.run:
        gone = last.tiles - tiles
        yield f"{gone} of the {last.tiles} tiles of run {last.run} are gone: removed by hand, or {cause}"


def _pixel_size_problems(entry: ImageEntry) -> Iterator[str]:
    from her2qp.slides.calibration import resolve_mpp

    calibration = entry.pixel_calibration
    if calibration.width is None and calibration.height is None:
        return
    try:
        resolve_mpp((calibration.width, calibration.height), None, None, where=entry.name)
    except Her2qpError as error:
        yield str(error)
