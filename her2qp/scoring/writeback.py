"""A score becomes a change to the project: what to take out, what to add, what to leave alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np

from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import PathObject, TileTable
from her2qp.scoring.ownership import id_set, owned_measurements, owned_metadata, owned_tiles, region_key, tile_ids
from her2qp.scoring.result import ImageScore, RegionScore, spell_cores
from her2qp.scoring.vocabulary import (
    CORES_KEY,
    GROUP_KEY,
    MODEL_KEY,
    PREDICTED_KEY,
    REGION_ATTENTION_SHARE,
    REGION_RUN,
    REGION_TILES,
    RUN_KEY,
    STATUS_KEY,
    TILE_CLASSES,
    probability_name,
    tile_measurements,
)
from her2qp.tiling.areas import label_of


@dataclass(frozen=True, slots=True)
class Existing:
    """What an image holds before the write-back.

    Parameters
    ----------
    image_id
        Of the image entry.
    parents
        Annotations and TMA cores: what tiles hang under and measurements are written on.
    tiles, metadata
        As read from the project.
    recorded_regions
        Region keys that records of earlier runs name for this image.
    recorded_measurements
        Names of the measurements that records say a run wrote, by number of the run and id of the annotation or core.
    recorded_metadata
        Metadata that the record of the run named in `metadata` says it wrote; None if there is no such record.
    """

    image_id: int
    parents: Iterable[PathObject]
    tiles: TileTable
    metadata: Mapping[str, str]
    recorded_regions: Iterable[UUID] = ()
    recorded_measurements: Mapping[tuple[float, UUID], Iterable[str]] = field(default_factory=dict)
    recorded_metadata: Mapping[str, Any] | None = None

    def owned_tile_rows(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Tell which rows of `tiles` her2qp wrote."""
        regions = [parent.id for parent in self.parents]
        return owned_tiles(self.tiles, [*regions, region_key(None, self.image_id), *self.recorded_regions])

    def owned_measurements(self) -> dict[UUID, frozenset[str]]:
        """Return the names of the measurements that her2qp wrote, by annotation or core."""
        recorded = self.recorded_measurements
        return {
            parent.id: names
            for parent in self.parents
            if (names := owned_measurements(parent, recorded.get((parent.measurements.get(REGION_RUN, 0), parent.id))))
        }

    def owned_metadata(self) -> frozenset[str]:
        """Return the keys of the metadata that her2qp wrote."""
        return owned_metadata(self.metadata, self.recorded_metadata)


@dataclass(frozen=True, slots=True)
class WriteBack:
    """A complete change to one image.

    Parameters
    ----------
    edit
        Of the hierarchy.
    metadata
        All metadata of the entry afterwards.
    written_metadata
        The part of it that her2qp wrote, for the run record.
    notes
        What was left alone because it is a person's.
    """

    edit: HierarchyEdit
    metadata: dict[str, str]
    written_metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def added(self) -> int:
        """Number of objects that it adds."""
        return len(self.edit.add_objects) + (0 if self.edit.add_tiles is None else len(self.edit.add_tiles))


def removal(existing: Existing) -> WriteBack:
    """Return the change that takes out exactly what her2qp wrote."""
    owned = existing.owned_tile_rows()
    mine = existing.owned_metadata()
    return WriteBack(
        edit=HierarchyEdit(remove=id_set(existing.tiles.ids[owned]), drop_measurements=existing.owned_measurements()),
        metadata={key: value for key, value in existing.metadata.items() if key not in mine},
    )


def replacement(existing: Existing, score: ImageScore, *, run_number: int, run: str, model: str) -> WriteBack:
    """Return the change that replaces what her2qp wrote earlier by a new score.

    Parameters
    ----------
    existing
        The image before.
    score
        The new result.
    run_number, run
        Number and id of the run; measurements are numbers, so annotations and cores carry the number.
    model
        Name and hash of the model.
    """
    cleared = removal(existing)
    tiles = tile_table(score, existing.image_id)
    by_id = {parent.id: parent for parent in existing.parents}
    notes: list[str] = []
    measurements: dict[UUID, dict[str, float]] = {}
    for region in score.regions:
        parent = by_id.get(region.region.parent_id) if region.region.parent_id else None
        if parent is not None:
            hers = parent.measurements.keys() - cleared.edit.drop_measurements.get(parent.id, frozenset())
            wanted = _region_measurements(region, run_number)
            measurements[parent.id] = {name: value for name, value in wanted.items() if name not in hers}
            if kept := sorted(hers & wanted.keys()):
                notes.append(f"{label_of(parent)}: kept its own measurements {', '.join(kept)}")
    wanted_metadata = _metadata(score, run, model)
    written = {key: value for key, value in wanted_metadata.items() if key not in cleared.metadata}
    if kept := sorted(wanted_metadata.keys() - written.keys()):
        notes.append(f"kept the image's own metadata {', '.join(kept)}")
    return WriteBack(
        edit=HierarchyEdit(
            remove=cleared.edit.remove | _same_ids(existing.tiles, tiles),
            drop_measurements=cleared.edit.drop_measurements,
            set_measurements=measurements,
            add_tiles=tiles,
        ),
        metadata={**cleared.metadata, **written},
        written_metadata=written,
        notes=tuple(notes),
    )


def _same_ids(existing: TileTable, new: TileTable) -> frozenset[UUID]:
    """Tiles that have an id of a new one without being where it says: her2qp's own, moved by hand since."""
    as_void = [np.ascontiguousarray(table.ids).view("V16").ravel() for table in (existing, new)]
    return id_set(existing.ids[np.isin(as_void[0], as_void[1])]) if len(existing) and len(new) else frozenset()


def tile_table(score: ImageScore, image_id: int) -> TileTable:
    """Return the tile detections of a score, nested under the annotations or TMA cores they were made for."""
    tiles = score.tiles
    parents = tuple(region.region.parent_id for region in score.regions)
    rows = [np.flatnonzero(tiles.region == index) for index in np.unique(tiles.region)]
    order = np.concatenate(rows) if rows else np.empty(0, np.intp)
    ids = [tile_ids(region_key(parent, image_id), tiles.bounds[r]) for parent, r in zip(parents, rows, strict=True)]
    values = np.column_stack(
        [
            score.attention_rank,
            score.attention,
            score.tile_probabilities,
            tiles.region_fraction,
            tiles.tissue_fraction,
            *(() if score.cells is None else (score.cells.values,)),
        ]
    ).astype(np.float32)
    return TileTable(
        ids=np.concatenate(ids) if ids else np.empty((0, 16), np.uint8),
        bounds=tiles.bounds[order],
        classes=tuple(TILE_CLASSES[name] for name in score.scheme.classes),
        class_index=np.argmax(score.tile_probabilities, axis=1).astype(np.int32)[order],
        names=tile_measurements(score.scheme) + (() if score.cells is None else score.cells.names),
        values=values[order],
        parent_ids=parents,
        parent_index=np.repeat(np.arange(len(rows), dtype=np.int32), [len(r) for r in rows]),
    )


def _region_measurements(region: RegionScore, run_number: int) -> dict[str, float]:
    share = region.attention_share
    return {
        **{probability_name(name): p for name, p in region.by_class.items()},
        REGION_TILES: float(region.tiles),
        **({} if share is None else {REGION_ATTENTION_SHARE: share}),
        REGION_RUN: float(run_number),
    }


def _metadata(score: ImageScore, run: str, model: str) -> dict[str, str]:
    return {
        **_summary(score),
        STATUS_KEY: "scored (research use only)",
        MODEL_KEY: model,
        RUN_KEY: run,
    }


def _summary(score: ImageScore) -> dict[str, str]:
    """What there is to say of an image in short: of one case its prediction, of a tissue microarray its cores."""
    scheme, probabilities = score.scheme, score.probabilities
    if probabilities is None:
        return {CORES_KEY: spell_cores(score.cores_by_class)}
    predicted = scheme.most_probable(probabilities)
    return {
        PREDICTED_KEY: predicted,
        **{probability_name(name): f"{p:.3f}" for name, p in scheme.by_class(probabilities).items()},
        GROUP_KEY: scheme.groups[predicted],
    }
