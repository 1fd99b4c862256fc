"""Results that could not be written into the project: kept beside it, to be brought in when nothing is in the way.

An image that somebody saves in QuPath while it is scored is left as it was saved. The result waits as GeoJSON in
``her2qp/aside/<run>/`` of the project, and ``her2qp import`` puts it where a run would have put it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.imageentry import ImageEntry
from her2qp.qupath.objects import PathObject, TileTable
from her2qp.qupath.tiletables import take_rows
from her2qp.qupath.transaction.places import private_folder
from her2qp.scoring.ownership import id_set
from her2qp.scoring.vocabulary import REGION_MEASUREMENTS
from her2qp.scoring.writeback import Existing, WriteBack, removal


def aside_file(project_folder: Path, run: str, entry: ImageEntry) -> Path:
    """Where a result of an image that could not be written is kept."""
    return private_folder(project_folder, "aside", run) / f"{entry.file_stem}.geojson.gz"


def keep_aside(path: Path, existing: Existing, change: WriteBack) -> Path:
    """Keep a result: the tiles, and the annotations or TMA cores they belong to with their new measurements.

    Raises
    ------
    ProjectAccessError
        The file cannot be written.
    """
    from her2qp.qupath.geojson import write_geojson
    from her2qp.qupath.transaction.disk import access_errors

    measured = change.edit.set_measurements
    regions = [
        dataclasses.replace(parent, measurements={**parent.measurements, **measured[parent.id]})
        for parent in existing.parents
        if parent.id in measured
    ]
    with access_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_geojson(path, regions, tiles=change.edit.add_tiles)
    return path


def run_of(file: Path, project_folder: Path, entry: ImageEntry) -> str | None:
    """The run whose result of this image a file is; None if it is any other file."""
    run = file.resolve().parent.name
    return run if file.resolve() == aside_file(project_folder, run, entry).resolve() else None


def bring_in(
    existing: Existing, regions: Sequence[PathObject], tiles: TileTable, written_metadata: Mapping[str, str]
) -> WriteBack:
    """Return the change that puts a kept result in the place of what her2qp wrote earlier.

    Tiles of annotations and cores that are gone by now are left out, and what a person wrote is left alone.

    Parameters
    ----------
    existing
        The image as it is now.
    regions, tiles
        Content of the file.
    written_metadata
        The metadata of the result.
    """
    cleared = removal(existing)
    parents = {parent.id: parent for parent in existing.parents}
    measurements = {}
    for region in regions:
        parent = parents.get(region.id)
        if parent is not None:
            hers = parent.measurements.keys() - cleared.edit.drop_measurements.get(parent.id, frozenset())
            ours = [name for name in REGION_MEASUREMENTS if name in region.measurements and name not in hers]
            measurements[region.id] = {name: region.measurements[name] for name in ours}
    is_there = np.array([parent is None or parent in parents for parent in tiles.parent_ids], np.bool_)
    tiles = take_rows(tiles, is_there[tiles.parent_index])
    moved = id_set(existing.tiles.ids) & id_set(tiles.ids)
    written = {key: value for key, value in written_metadata.items() if key not in cleared.metadata}
    return WriteBack(
        edit=HierarchyEdit(
            remove=cleared.edit.remove | moved,
            drop_measurements=cleared.edit.drop_measurements,
            set_measurements=measurements,
            add_tiles=tiles,
        ),
        metadata={**cleared.metadata, **written},
        written_metadata=written,
    )
