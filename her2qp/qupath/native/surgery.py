"""Change a hierarchy in the graph: measurements, removals, additions. Nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import InvalidEditError
from her2qp.qupath import uuids
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.java import Instance, Item, Run
from her2qp.qupath.native.cursor import get_primitive, set_primitive
from her2qp.qupath.native.document import Document
from her2qp.qupath.native.entries import Entry
from her2qp.qupath.native.index import Index, expand_all
from her2qp.qupath.native.measurements import check_names, drop_measurements, set_measurements
from her2qp.qupath.native.path_objects import make_object, store_id
from her2qp.qupath.native.records import Record, read_record
from her2qp.qupath.native.references import check_removal, drop_references
from her2qp.qupath.native.tiles import make_runs
from her2qp.qupath.native.values import Memo
from her2qp.qupath.native.vocabulary import Vocabulary


@dataclass
class Removal:
    """What is to be removed: objects of their own, and rows of runs."""

    instances: set[Instance] = field(default_factory=set)
    rows: dict[Run, NDArray[np.bool_]] = field(default_factory=dict)
    touched: set[Entry] = field(default_factory=set)


def apply_edit(document: Document, edit: HierarchyEdit, vocabulary: Vocabulary, memo: Memo) -> None:
    """Apply an edit; either all of it or, if it is refused, nothing.

    Raises
    ------
    InvalidEditError
        It names an object that is not there, adds an id that is there already, puts an object under one that is to
        be removed, or would make a file that QuPath could not read.
    """
    edit.check()
    index = _make_named_objects_nodes(document, edit)
    for names in [*edit.drop_measurements.values(), *edit.set_measurements.values()]:
        check_names(names)
    removal = _plan_removal(index, edit.remove)
    check_removal(document.hierarchy, document.others, removal.instances)
    additions = _make_additions(index, edit, vocabulary)

    for object_id, dropped in edit.drop_measurements.items():
        for entry in index.by_id[object_id]:
            drop_measurements(entry.record, dropped, vocabulary, memo)
    for object_id, values in edit.set_measurements.items():
        for entry in index.by_id[object_id]:
            set_measurements(entry.record, values, vocabulary, memo)
    derived = [object_id for object_id in index.derived_ids if object_id not in edit.remove] if edit.remove else []
    _remove(index, removal)
    drop_references(document.hierarchy, document.others, removal.instances)
    for record, items in additions:
        _replace_children(record, record.child_items + items)
    _store_shifted_ids(document, derived, vocabulary)


def _make_named_objects_nodes(document: Document, edit: HierarchyEdit) -> Index:
    """Make every object that the edit changes or adds to a node of its own; returns the index."""
    added = {obj.id for obj in edit.add_objects}
    named = {obj.parent for obj in edit.add_objects} | edit.drop_measurements.keys() | edit.set_measurements.keys()
    if edit.add_tiles is not None:
        used = np.unique(edit.add_tiles.parent_index).tolist()
        named |= {edit.add_tiles.parent_ids[number] for number in used}
    named_ids = {object_id for object_id in named if object_id is not None} - added
    in_runs = named_ids - document.index.by_id.keys()
    if in_runs and expand_all(document.index, {object_id.bytes for object_id in in_runs}):
        document.forget_index()
    missing = named_ids - document.index.by_id.keys()
    if missing:
        raise InvalidEditError("there is no such object in the hierarchy", where=f"object {min(missing, key=str)}")
    doomed = edit.remove & (named - edit.drop_measurements.keys() - edit.set_measurements.keys())
    if doomed:
        raise InvalidEditError("an object cannot be added to one that is removed", where=f"object {min(doomed)}")
    return document.index


def _plan_removal(index: Index, ids: frozenset[UUID]) -> Removal:
    removal = Removal()
    if not ids:
        return removal
    missing = {object_id.bytes for object_id in ids}
    for object_id, entries in index.by_id.items():
        if object_id in ids:
            missing.discard(object_id.bytes)
            removal.instances.update(entry.record.instance for entry in entries)
            removal.touched.update(entries)
            removal.touched.update(entry.parent for entry in entries if entry.parent is not None)
    wanted = uuids.from_bytes(missing)
    for run_entry in index.runs:
        rows = run_entry.rows_in(wanted)
        if rows.any():
            removal.rows[run_entry.run] = rows
            removal.touched.add(run_entry.parent)
            missing.difference_update(uuids.as_bytes(run_entry.ids[rows]))
    if missing:
        first = UUID(bytes=min(missing))
        raise InvalidEditError("an object that is to be removed is not in the hierarchy", where=f"object {first}")
    return removal


def _make_additions(index: Index, edit: HierarchyEdit, vocabulary: Vocabulary) -> list[tuple[Record, list[Item]]]:
    """Make the new objects; returns where to append what, new objects under new objects already in place."""
    _check_new_ids(index, edit)
    new = {obj.id: make_object(obj, vocabulary) for obj in edit.add_objects}
    below: dict[UUID | None, list[Item]] = {}
    placed: set[UUID] = set()
    for obj in edit.add_objects:
        if obj.parent in new and obj.parent not in placed:
            raise InvalidEditError("an object is to be added before its parent", where=f"object {obj.id}")
        placed.add(obj.id)
        below.setdefault(obj.parent, []).append(new[obj.id])
    if edit.add_tiles is not None:
        for parent, run in make_runs(edit.add_tiles, vocabulary):
            below.setdefault(parent, []).append(run)
    additions = []
    for parent, items in below.items():
        if parent in new:
            record = read_record(new[parent])
            _replace_children(record, record.child_items + items)
        else:
            entry = index.root if parent is None else index.by_id[parent][0]
            additions.append((entry.record, items))
    return additions


def _check_new_ids(index: Index, edit: HierarchyEdit) -> None:
    new = edit.added_ids
    present = uuids.from_bytes(object_id.bytes for object_id in index.by_id)
    taken = set(uuids.as_bytes(new[uuids.rows_among(new, present)]))
    for entry in index.runs:
        taken.update(uuids.as_bytes(entry.ids[entry.rows_in(new)]))
    if taken and (taken := taken - {object_id.bytes for object_id in edit.remove}):
        twice = UUID(bytes=min(taken))
        raise InvalidEditError("an object with the id of one to be added is there already", where=f"object {twice}")


def _remove(index: Index, removal: Removal) -> None:
    """Remove objects; what stays of their children takes their place. Children come before their parents."""
    surviving: dict[Instance, list[Item]] = {}
    for entry in [*reversed(index.entries), index.root]:
        if not isinstance(entry, Entry) or entry not in removal.touched:
            continue
        items: list[Item] = []
        for item in entry.record.child_items:
            if isinstance(item, Run) and item in removal.rows:
                rest = item.take(~removal.rows[item])
                items.extend([rest] if len(rest) else [])
            elif isinstance(item, Instance) and item in removal.instances:
                items.extend(surviving.pop(item))
            else:
                items.append(item)
        if entry.record.instance in removal.instances:
            surviving[entry.record.instance] = items
        else:
            _replace_children(entry.record, items)


def _store_shifted_ids(document: Document, derived: list[UUID], vocabulary: Vocabulary) -> None:
    """Write down the ids that follow from the place in the hierarchy, where a removal has shifted the place.

    Parameters
    ----------
    document
        The file, everything removed and added.
    derived
        The derived ids of what was not removed, as they were before: a removal keeps the order of what stays.
    vocabulary
        Of the file.
    """
    while derived:
        document.forget_index()
        index = document.index
        shifted = {now: kept for now, kept in zip(index.derived_ids, derived, strict=True) if now != kept}
        if not shifted:
            break
        if not expand_all(index, {now.bytes for now in shifted}):
            for now, kept in shifted.items():
                store_id(index.by_id[now][0].record, kept, vocabulary)
            stored = frozenset(shifted.values())
            derived = [object_id for object_id in derived if object_id not in stored]


def _replace_children(record: Record, items: Iterable[Item]) -> None:
    items = list(items)
    first, stop = record.children
    record.content[first:stop] = items
    record.children = first, first + len(items)
    count = sum(len(item) if isinstance(item, Run) else 1 for item in items)
    if count != get_primitive(record.content, record.child_count, ">i"):
        set_primitive(record.content, record.child_count, ">i", count)
