"""Take out of a project exactly what her2qp wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from her2qp.errors import Her2qpError
from her2qp.provenance import now, versions
from her2qp.scoring.records import LastResult, RunId, RunRecords, result_now
from her2qp.scoring.run import choose_images, existing_of, write_back
from her2qp.scoring.writeback import removal

if TYPE_CHECKING:
    from her2qp.qupath.imageentry import ImageEntry
from her2qp.qupath.project import Project


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was taken out of one image.

    Parameters
    ----------
    id, name
        Of the image entry.
    tiles, annotations, metadata
        Number of tiles removed, of annotations and TMA cores that lost her2qp's measurements, and of metadata keys
        dropped.
    error
        Why the image could not be cleared; empty if it was.
    result
        What of her2qp's is left in it; None if it could not be cleared.
    """

    id: int
    name: str
    tiles: int = 0
    annotations: int = 0
    metadata: int = 0
    error: str = ""
    result: LastResult | None = None

    @property
    def is_change(self) -> bool:
        """Whether anything of her2qp's was there."""
        return bool(self.tiles or self.annotations or self.metadata)


def clear_project(project: Project, patterns: Sequence[str] = (), *, wait_s: float = 0.0) -> list[Cleared]:
    """Remove her2qp's tiles, measurements, metadata and unused classes from the chosen images.

    Parameters
    ----------
    project
        Open for writing.
    patterns
        Glob patterns of image names; all images without one.
    wait_s
        How long to wait for another run that works on the same image, in seconds.

    Raises
    ------
    ImageNotFoundError
        No image is chosen.
    ProjectError
        The project is locked or cannot be written.
    """
    records = RunRecords(project.folder)
    chosen = choose_images(project, patterns)
    run = records.begin("clear")
    with project.transaction(run.text, command="clear"):
        outcomes = [_clear_image(entry, records, run, wait_s) for entry in chosen]
        with project.together() as step:
            removed_classes = _drop_unused_classes(project, records.history().classes_added)
            is_change = bool(removed_classes) or any(outcome.is_change for outcome in outcomes)
            if is_change:
                records.write(run, _record(run.text, run.number, project, outcomes, removed_classes), within=step)
    if not is_change:
        records.withdraw(run)
    return outcomes


def _clear_image(entry: ImageEntry, records: RunRecords, run: RunId, wait_s: float) -> Cleared:
    try:
        with entry.claim("clear", wait_s=wait_s):
            existing = existing_of(entry, records.history(but=run))
            change = removal(existing)
            cleared = Cleared(
                entry.id,
                entry.name,
                tiles=len(change.edit.remove),
                annotations=len(change.edit.drop_measurements),
                metadata=len(existing.metadata) - len(change.metadata),
                result=result_now(run, run=None, tiles=0),
            )
            if cleared.is_change:
                write_back(entry, change)
    except Her2qpError as error:
        return Cleared(entry.id, entry.name, error=str(error))
    return cleared


def _drop_unused_classes(project: Project, added: frozenset[str] | set[str]) -> list[str]:
    """Drop the classes that earlier runs added and nothing uses; keep them if some image cannot be looked into."""
    listed = {str(path_class) for path_class in project.path_classes} & set(added)
    for entry in project.images:
        if not listed:
            return []
        try:
            listed -= {str(path_class) for path_class in entry.hierarchy.path_classes()}
        except Her2qpError:
            return []
    if listed:
        project.path_classes = tuple(c for c in project.path_classes if str(c) not in listed)
        project.save()
    return sorted(listed)


def _record(
    run: str, number: int, project: Project, outcomes: Sequence[Cleared], removed_classes: Sequence[str]
) -> dict[str, Any]:
    return {
        "run": run,
        "number": number,
        "command": "clear",
        "finished": now().isoformat(),
        "versions": versions(),
        "backend": project.backend,
        "classes_removed": list(removed_classes),
        "images": [
            {
                "id": o.id,
                "name": o.name,
                "objects_removed": o.tiles,
                "error": o.error,
                **({} if o.result is None else o.result.to_json()),
            }
            for o in outcomes
            if o.is_change or o.error
        ],
    }
