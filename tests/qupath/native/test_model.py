"""Any sequence of edits leaves the objects that a plain model of the hierarchy leaves, in its order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qupath.native.samples import empty_data, same
from qupath.native.strategies import hierarchies, names, numbers, path_objects, rois, tile_tables

from her2qp.qupath import QpData
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ObjectType, PathObject, TileTable
from her2qp.qupath.rois import make_roi, rectangle


class Model:
    """A hierarchy as a dictionary of objects and lists of children, edited the obvious way."""

    def __init__(self) -> None:
        self.objects_by_id: dict[UUID, PathObject] = {}
        self.children: dict[UUID | None, list[UUID]] = {None: []}

    def objects(self, parent: UUID | None = None) -> Iterator[PathObject]:
        """All objects, parents before children."""
        for object_id in self.children[parent]:
            yield self.objects_by_id[object_id]
            yield from self.objects(object_id)

    def apply(self, edit: HierarchyEdit) -> None:
        for object_id, dropped in edit.drop_measurements.items():
            kept = {k: v for k, v in self.objects_by_id[object_id].measurements.items() if k not in dropped}
            self.objects_by_id[object_id] = replace(self.objects_by_id[object_id], measurements=kept)
        for object_id, values in edit.set_measurements.items():
            obj = self.objects_by_id[object_id]
            self.objects_by_id[object_id] = replace(obj, measurements={**obj.measurements, **values})
        for object_id in edit.remove:
            self._remove(object_id)
        for obj in (*edit.add_objects, *tiles_one_by_one(edit.add_tiles)):
            self.objects_by_id[obj.id] = obj
            self.children[obj.parent].append(obj.id)
            self.children[obj.id] = []

    def _remove(self, object_id: UUID) -> None:
        """Take an object out and let its children take its place."""
        parent = self.objects_by_id.pop(object_id).parent
        orphans = self.children.pop(object_id)
        siblings = self.children[parent]
        place = siblings.index(object_id)
        siblings[place : place + 1] = orphans
        for orphan in orphans:
            self.objects_by_id[orphan] = replace(self.objects_by_id[orphan], parent=parent)


def tiles_one_by_one(table: TileTable | None) -> list[PathObject]:
    """The rows of a table as objects; unclassified ones come last, before them those that lack a measurement."""
    if table is None:
        return []
    return [
        PathObject(
            id=UUID(bytes=table.ids[row].tobytes()),
            type=ObjectType.TILE,
            roi=make_roi(rectangle(*table.bounds[row])),
            path_class=table.classes[table.class_index[row]] if table.class_index[row] >= 0 else None,
            measurements={
                name: value
                for name, value in zip(table.names, table.values[row].tolist(), strict=True)
                if not math.isnan(value)
            },
            parent=table.parent_ids[table.parent_index[row]],
        )
        for row in np.lexsort((*np.isnan(table.values).T[::-1], table.class_index < 0)).tolist()
    ]


@st.composite
def edits(draw: st.DrawFn, present: list[UUID]) -> HierarchyEdit:
    """An edit of a hierarchy with these objects that names only what is there."""
    some = st.lists(st.sampled_from(present), max_size=4, unique=True) if present else st.just([])
    removed = frozenset(draw(some))
    staying: list[UUID | None] = [None, *(one for one in present if one not in removed)]
    new = draw(st.lists(st.uuids().filter(lambda one: one not in present), max_size=4, unique=True))
    added = [draw(path_objects(one, draw(st.sampled_from(staying + new[:i])), rois)) for i, one in enumerate(new)]
    taken = frozenset(present) | frozenset(new)
    parents = tuple(draw(st.lists(st.sampled_from(staying + new), min_size=1, max_size=3, unique=True)))
    return HierarchyEdit(
        remove=removed,
        drop_measurements={one: frozenset(draw(st.sets(names, max_size=2))) for one in draw(some)},
        set_measurements={one: draw(st.dictionaries(names, numbers, max_size=3)) for one in draw(some)},
        add_objects=tuple(added),
        add_tiles=draw(st.none() | tile_tables(parents, taken)),
    )


def assert_same_objects(data: QpData, model: Model) -> None:
    found, wanted = list(data.objects()), list(model.objects())
    assert [obj.id for obj in found] == [obj.id for obj in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert same(one, other), (one, other)
    rectangular = [o.id for o in wanted if o.type is ObjectType.TILE and o.roi and o.roi.kind == "RectangleROI"]
    assert [UUID(bytes=row.tobytes()) for row in data.tiles().ids] == rectangular
    assert data.ids() == set(model.objects_by_id)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(hierarchies(), st.data())
def test_a_sequence_of_edits_does_what_it_says(objects: tuple[PathObject, ...], drawn: st.DataObject) -> None:
    data, model = empty_data(), Model()
    sequence = [HierarchyEdit(add_objects=objects)]
    for number in range(drawn.draw(st.integers(1, 5))):
        if number:
            sequence.append(drawn.draw(edits([obj.id for obj in model.objects()])))
        data.apply(sequence[-1])
        model.apply(sequence[-1])
        if drawn.draw(st.booleans()):
            data = QpData.from_bytes(data.to_bytes())
        assert_same_objects(data, model)
    assert_same_objects(QpData.from_bytes(data.to_bytes()), model)
