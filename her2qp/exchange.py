"""Objects out of a project into files, and out of files into a project."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from her2qp.errors import Her2qpError, ProjectAccessError
from her2qp.qupath.edits import HierarchyEdit
from her2qp.scoring.records import RunRecords
from her2qp.scoring.run import choose_images

if TYPE_CHECKING:
    from her2qp.qupath.imageentry import ImageEntry

ExportFormat = Literal["geojson", "csv"]

_NAME_BYTES = 150
"""Of the 255 that a file name may have, with room for what comes before and after the image's name."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What was exported.

    Parameters
    ----------
    files
        Each file with the number of objects in it.
    problems
        One sentence for each image that could not be exported.
    """

    files: list[tuple[Path, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def export_project(project: Path, out: Path, format: ExportFormat, patterns: Sequence[str]) -> Exchanged:
    """Write the objects of the chosen images; see :func:`her2qp.export_objects`."""
    from her2qp.qupath import open_project

    result = Exchanged()
    with open_project(project, mode="r", backend="native") as opened:
        chosen = choose_images(opened, patterns)
        for entry, path in zip(chosen, _paths(out, chosen, format), strict=True):
            try:
                result.files.append((path, _write(entry, path, format)))
            except Her2qpError as error:
                result.problems.append(f"{entry.name}: {error}")
    return result


def _paths(out: Path, images: Sequence[ImageEntry], format: ExportFormat) -> list[Path]:
    """Return one file for each image: `out` itself where it names a file, else files in the folder `out`."""
    names_file = bool(re.search(r"\.(geojson|json|csv)(\.gz)?$", out.name, re.IGNORECASE)) and not out.is_dir()
    if names_file and len(images) == 1:
        return [out]
    if names_file:
        raise ProjectAccessError(
            f"{len(images)} images do not fit into one file",
            where=out,
            remedy="Name a folder, or one image by --image.",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectAccessError(f"the folder cannot be made ({error.strerror})", where=out) from error
    return [out / f"{entry.id}-{_file_name(entry.name)}.{format}" for entry in images]


def _file_name(name: str) -> str:
    """Return an image's name without what a file system would take for something else, and not too long for it."""
    plain = re.sub(r'[\x00-\x1f<>:"/\\|?*\ud800-\udfff]+', "_", name)
    return plain.encode()[:_NAME_BYTES].decode(errors="ignore").strip(". ") or "image"


def _write(entry: ImageEntry, path: Path, format: ExportFormat) -> int:
    from her2qp.qupath.geojson import write_csv, write_geojson

    write = write_csv if format == "csv" else write_geojson
    return int(write(path, entry.hierarchy.objects_but_tiles(), tiles=entry.tiles()))


def import_file(project: Path, file: Path, image: str, backend: Literal["auto", "paquo", "native"]) -> int:
    """Add the objects of a GeoJSON file to an image; see :func:`her2qp.import_objects`."""
    from her2qp.qupath import open_project
    from her2qp.qupath.geojson import load_geojson
    from her2qp.qupath.tiletables import without_ids

    objects, tiles = load_geojson(file)
    with open_project(project, mode="r+", backend=backend) as opened:
        entry = opened.image(image)
        present = entry.hierarchy.ids()
        new = HierarchyEdit(
            add_objects=tuple(obj for obj in objects if obj.id not in present),
            add_tiles=without_ids(tiles, present),
        )
        if not new.is_empty:
            run = RunRecords(opened.folder).next_id()
            with opened.transaction(run.text, command="import"):
                entry.edit(new)
                entry.save()
    return len(new.add_objects) + (len(new.add_tiles) if new.add_tiles is not None else 0)
