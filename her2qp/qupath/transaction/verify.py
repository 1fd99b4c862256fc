"""Whether a file that was just written holds everything it should, before it takes the old one's place.

What it should hold follows from the old objects and the edit alone: everything that was there and was not removed,
as it was, and everything that was added.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

import numpy as np

from her2qp.errors import DataFileError
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.native.entries import RunEntry
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import CASE_ID_KEYS, ImageType, ObjectType, PathObject, Roi, RoiKind
from her2qp.qupath.tiletables import fits_table, table_of
from her2qp.qupath.transaction.runrows import RunRows
from her2qp.qupath.transaction.tilerows import TileRows

_EXACT_FIELDS = ("type", "path_class", "name", "color", "locked", "parent", "is_missing")
_STORED_PRECISION = 0.02
"""In pixels: vertices are kept as float32, which is finer than this in an image of 200,000 pixels."""

_DOUBLE_PRECISION = (ObjectType.ANNOTATION, ObjectType.TMA_CORE)


@dataclasses.dataclass(frozen=True, slots=True)
class Expectation:
    """What an image holds after an edit.

    Parameters
    ----------
    image_type
        Image type.
    counts
        Number of objects of each type.
    objects
        Every object that is in neither of the others, by id.
    rows
        Objects that are rows of runs.
    tiles
        The rectangular tiles of which a table tells everything.
    added
        Ids of those `objects` whose ROI comes from an edit, not yet rounded to what a file can hold.
    """

    image_type: ImageType
    counts: Counter[ObjectType]
    objects: Mapping[UUID, PathObject]
    rows: RunRows
    tiles: TileRows
    added: frozenset[UUID] = frozenset()

    @classmethod
    def of(cls, data: QpData, known: Iterable[RunEntry] = ()) -> Expectation:
        """What `data` holds now; `known` as for :meth:`RunRows.of`."""
        with_more = _by_id(data.tiles_with_more())
        objects = {**_by_id(data.objects_apart()), **with_more}
        tiles = TileRows.from_table(data.tiles()).without(with_more)
        return cls(data.image_type, data.count(), objects, RunRows.of(data, known), tiles)

    def after(self, edit: HierarchyEdit) -> Expectation:
        """The same after `edit`."""
        changed = self.rows.rows_of(edit.drop_measurements.keys() | edit.set_measurements.keys())
        objects = {**self.objects, **_by_id(self.rows.take(changed).objects())}
        rows = self.rows.take(~changed) if changed.any() else self.rows
        parents: dict[UUID, UUID | None] = {obj_id: obj.parent for obj_id, obj in objects.items()}
        has_children = {*parents.values(), *rows.distinct_parents(), *self.tiles.distinct_parents()}
        for leaves in (rows, self.tiles):
            parents.update(leaves.parents_of(obj_id for obj_id in has_children if obj_id in edit.remove))

        def surviving(parent: UUID | None) -> UUID | None:
            while parent is not None and parent in edit.remove:
                parent = parents[parent]
            return parent

        kept = rows.without(edit.remove).with_parents(surviving)
        tiles = self.tiles.without(edit.remove).with_measurements(edit).with_parents(surviving)
        counts = Counter(self.counts)
        counts.subtract(obj.type for obj_id, obj in objects.items() if obj_id in edit.remove)
        counts.subtract(rows.count())
        counts.update(kept.count())
        counts.subtract({ObjectType.TILE: len(self.tiles) - len(tiles)})
        objects = {
            obj_id: _edited(dataclasses.replace(obj, parent=surviving(obj.parent)), edit)
            for obj_id, obj in objects.items()
            if obj_id not in edit.remove
        }
        objects.update(_by_id(obj for obj in edit.add_objects if not fits_table(obj)))
        rectangles = [obj for obj in edit.add_objects if fits_table(obj)]
        if rectangles:
            tiles = tiles.joined(TileRows.from_table(table_of(rectangles)))
        counts.update(obj.type for obj in edit.add_objects)
        if edit.add_tiles is not None and len(edit.add_tiles):
            tiles = tiles.joined(TileRows.from_table(edit.add_tiles))
            counts.update({ObjectType.TILE: len(edit.add_tiles)})
        added = self.added | {obj.id for obj in edit.add_objects}
        return Expectation(self.image_type, counts, objects, kept, tiles, added)

    def check(self, written: QpData, *, tolerance: float = 0.0) -> None:
        """Compare with what was read back.

        Parameters
        ----------
        written
            The new file.
        tolerance
            How far a vertex may have moved, in pixels.

        Raises
        ------
        DataFileError
            Something is missing, changed, or was not asked for.
        """
        if written.image_type is not self.image_type:
            raise _difference(f"the image type is {written.image_type} instead of {self.image_type}")
        found = Expectation.of(written, self.rows.entries)
        if +found.counts != +self.counts:
            raise _difference(f"it holds {dict(+found.counts)} instead of {dict(+self.counts)}")
        rows, others = self.rows.without_common(found.rows)
        expected = {**self.objects, **_by_id(rows.objects())}
        objects = {**found.objects, **_by_id(others.objects())}
        if objects.keys() != expected.keys():
            raise _difference(f"{len(objects.keys() ^ expected.keys())} objects are missing or were not asked for")
        for obj_id, wanted in expected.items():
            allowed = max(tolerance, _STORED_PRECISION) if obj_id in self.added else tolerance
            field = _first_difference(wanted, objects[obj_id], allowed)
            if field is not None:
                raise _difference(f"the {field} of {wanted.type} {obj_id} changed")
        problem = self.tiles.difference(found.tiles, tolerance)
        if problem is not None:
            raise _difference(problem)


def _difference(what: str) -> DataFileError:
    return DataFileError(
        f"the file that was written is not what it should be: {what}",
        remedy="The project was left as it was. Please report this as a bug of her2qp.",
    )


def _by_id(objects: Iterable[PathObject]) -> dict[UUID, PathObject]:
    return {obj.id: obj for obj in objects}


def _edited(obj: PathObject, edit: HierarchyEdit) -> PathObject:
    dropped, changed = edit.drop_measurements.get(obj.id), edit.set_measurements.get(obj.id)
    if not dropped and not changed:
        return obj
    kept = {name: value for name, value in obj.measurements.items() if name not in (dropped or ())}
    return dataclasses.replace(obj, measurements={**kept, **(changed or {})})


def _first_difference(wanted: PathObject, found: PathObject, tolerance: float) -> str | None:
    """Name of the first part in which two objects differ, None if they are the same."""
    for field in _EXACT_FIELDS:
        if getattr(wanted, field) != getattr(found, field):
            return field.replace("_", " ")
    if _with_case_id(wanted.metadata) != _with_case_id(found.metadata):
        return "metadata"
    if not _same_number(wanted.class_probability, found.class_probability, double=True):
        return "class probability"
    double = wanted.type in _DOUBLE_PRECISION
    if wanted.measurements.keys() != found.measurements.keys() or not all(
        _same_number(value, found.measurements[name], double=double) for name, value in wanted.measurements.items()
    ):
        return "measurements"
    if not _same_roi(wanted.roi, found.roi, tolerance):
        return "ROI"
    return None if _same_roi(wanted.nucleus, found.nucleus, tolerance) else "nucleus"


def _with_case_id(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata with the case of a TMA core under its present name too: QuPath adds it to what an old version wrote."""
    present, earlier = CASE_ID_KEYS
    return {present: metadata[earlier], **metadata} if earlier in metadata else dict(metadata)


def _same_number(wanted: float, found: float, *, double: bool) -> bool:
    if math.isnan(wanted) or math.isnan(found):
        return math.isnan(wanted) and math.isnan(found)
    return wanted == found if double else bool(np.float32(wanted) == np.float32(found))


def _same_roi(wanted: Roi | None, found: Roi | None, tolerance: float) -> bool:
    if wanted is None or found is None:
        return wanted is found
    if wanted.kind is not found.kind or wanted.plane != found.plane:
        return False
    shape, other = wanted.geometry, found.geometry
    if shape.equals_exact(other, tolerance) or shape.wkb == other.wkb:  # which may hold NaN
        return True
    if tolerance == 0:
        return False
    if wanted.kind is RoiKind.ELLIPSE:  # stored as its bounds
        return bool(np.allclose(shape.bounds, other.bounds, rtol=0, atol=tolerance))
    if shape.normalize().equals_exact(other.normalize(), tolerance):
        return True
    return bool(shape.hausdorff_distance(other) <= tolerance)
