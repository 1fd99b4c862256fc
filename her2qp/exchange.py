"""Objects out of a project into files, and out of files into a project."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from her2qp.errors import Her2qpError, ProjectAccessError
from her2qp.provenance import now, versions
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.tiletables import without_ids
from her2qp.qupath.transaction.disk import access_errors
from her2qp.scoring.aside import bring_in, run_of
from her2qp.scoring.records import RunId, RunRecords, result_now
from her2qp.scoring.run import choose_images, existing_of, write_back
from her2qp.scoring.writeback import WriteBack

if TYPE_CHECKING:
    from her2qp.qupath.imageentry import ImageEntry
    from her2qp.qupath.objects import PathObject, TileTable

ExportFormat = Literal["geojson", "csv"]


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
    named = re.search(r"\.(geojson|json|csv)(\.gz)?$", out.name, re.IGNORECASE)
    with access_errors(out):
        if named and not out.is_dir():
            _check_file(out, named[1].lower(), format, len(images))
            return [out]
        if out.is_file():
            raise ProjectAccessError(
                "a file that ends in neither .geojson nor .csv", where=out, remedy="Name a folder, or one that does."
            )
        out.mkdir(parents=True, exist_ok=True)
    return [out / f"{entry.file_stem}.{format}" for entry in images]


def _check_file(out: Path, ending: str, format: ExportFormat, n_images: int) -> None:
    if n_images != 1:
        raise ProjectAccessError(
            f"{n_images} images do not fit into one file", where=out, remedy="Name a folder, or one image by --image."
        )
    if (ending == "csv") != (format == "csv"):
        raise ProjectAccessError(
            f"ends in .{ending}, but what is written is {format}",
            where=out,
            remedy=f"Give --format {'csv' if ending == 'csv' else 'geojson'}, or another name.",
        )
    if not out.parent.is_dir():
        raise ProjectAccessError("its folder does not exist", where=out, remedy="Make the folder first.")


def _write(entry: ImageEntry, path: Path, format: ExportFormat) -> int:
    from her2qp.qupath.geojson import write_csv, write_geojson

    write = write_csv if format == "csv" else write_geojson
    return int(write(path, entry.hierarchy.objects_but_rows(), tiles=entry.tiles()))


def import_file(
    project: Path, file: Path, image: str, backend: Literal["auto", "paquo", "native"], wait_s: float = 0.0
) -> int:
    """Add the objects of a GeoJSON file to an image; see :func:`her2qp.import_objects`."""
    from her2qp.qupath import open_project
    from her2qp.qupath.geojson import load_geojson

    objects, tiles = load_geojson(file)
    with open_project(project, mode="r+", backend=backend) as opened:
        entry, records = opened.image(image), RunRecords(opened.folder)
        with entry.claim("import", wait_s=wait_s):
            kept = run_of(file, opened.folder, entry)
            if kept is None:
                change = _addition(entry, objects, tiles)
            else:
                written = records.history().metadata.get((entry.id, kept), {})
                change = bring_in(existing_of(entry, records.history()), objects, tiles, written)
            if not change.edit.is_empty:
                run = records.begin("import")
                with opened.transaction(run.text, command="import"), opened.together() as step:
                    write_back(entry, change)
                    records.write(run, _record(run, entry, file, change, kept), within=step)
    return change.added


def _addition(entry: ImageEntry, objects: Sequence[PathObject], tiles: TileTable) -> WriteBack:
    present = entry.hierarchy.ids()
    new = tuple(obj for obj in objects if obj.id not in present)
    return WriteBack(HierarchyEdit(add_objects=new, add_tiles=without_ids(tiles, present)), dict(entry.metadata))


def _record(run: RunId, entry: ImageEntry, file: Path, change: WriteBack, kept: str | None) -> dict[str, Any]:
    image: dict[str, Any] = {
        "id": entry.id,
        "name": entry.name,
        "objects_added": change.added,
        "objects_removed": len(change.edit.remove),
    }
    if kept is not None:
        image |= result_now(run, run=kept, tiles=change.added).to_json()
    facts = {"run": run.text, "number": run.number, "command": "import", "finished": now().isoformat()}
    return {**facts, "versions": versions(), "file": str(file), "images": [image]}
