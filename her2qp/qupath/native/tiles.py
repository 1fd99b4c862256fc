"""Tiles by the hundred thousand: runs in the graph to columns of a table, and back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import DataFileError
from her2qp.qupath import uuids
from her2qp.qupath.classes import PathClass
from her2qp.qupath.java import Instance, JavaArray, Rows, Run, UniformRun, first_rows, trace_layout
from her2qp.qupath.native import schema
from her2qp.qupath.native.entries import Entry, RunEntry
from her2qp.qupath.native.index import Index
from her2qp.qupath.native.measurements import check_names
from her2qp.qupath.native.path_objects import make_object
from her2qp.qupath.native.records import COLOR, NAME, read_record
from her2qp.qupath.native.values import Memo, is_true
from her2qp.qupath.native.vocabulary import Vocabulary
from her2qp.qupath.objects import OBJECT_ID_KEY, ImagePlane, ObjectType, PathObject, Roi, RoiKind, TileTable
from her2qp.qupath.rois import rectangle
from her2qp.qupath.tiletables import is_too_sparse

_CORNERS = ("x", "x2", "y", "y2")
"""Order of a rectangle's coordinates in the file."""

_C, _T, _Z = 0, 4, 40
"""Where a rectangle keeps its plane, around its coordinates."""


@dataclass(slots=True)
class Block:
    """Tiles with the same parent and the same measurement names, as columns of a table to be.

    Parameters
    ----------
    ids
        Shape (n, 16), uint8.
    corners
        x, x2, y and y2, shape (n, 4); like `values` possibly a view of the file, in its byte order.
    classes, class_index
        The classes, and each tile's number among them, shape (n,).
    names, values
        The measurements, shape (n, len(names)).
    parent
        Id of the parent; None for the root.
    """

    ids: NDArray[np.uint8]
    corners: NDArray[np.generic]
    classes: list[PathClass | None]
    class_index: NDArray[np.intp]
    names: tuple[str, ...]
    values: NDArray[np.generic]
    parent: UUID | None


def read_tiles(index: Index, memo: Memo) -> TileTable:
    """All rectangular tiles of a hierarchy, in its order.

    Raises
    ------
    DataFileError
        A tile is damaged.
    """
    blocks: list[Block] = []
    for entry in index.entries:
        if not entry.record.is_table_tile:
            continue
        if isinstance(entry, Entry):
            blocks.extend(_one_block(entry, memo))
        else:
            blocks.extend(_run_blocks(entry, memo))
    return _join(blocks)


def classes_of(entry: Entry | RunEntry, memo: Memo) -> list[PathClass | None]:
    """The classes of an object, or of the objects of a run; None among them if one has none."""
    if isinstance(entry, Entry):
        return [memo.path_class(entry.record.at(entry.record.path_class))]
    records = [(part, read_record(part.layout.template)) for part in entry.run.parts]
    return [c for part, record in records for c in classes_of_rows(part, record.at(record.path_class), memo)[0]]


def rows_with_more(entry: RunEntry) -> NDArray[np.bool_]:
    """Which tiles of a run hold what no row of a table does, as :func:`fits_table` has it, shape (n,)."""
    record, run = entry.record, entry.run
    roi = record.at(record.roi)
    if not isinstance(roi, Instance) or not isinstance(run, UniformRun) or record.probability is None:
        return np.zeros(len(run), dtype=np.bool_)
    metadata = dict(record.metadata_strings())
    named = (record.content[NAME], record.content[COLOR]) != (None, None) or len(metadata) > 1
    locks, lock_index = _targets(run, record.at(record.locked))
    more = np.array([named or is_true(lock) for lock in locks])[lock_index]
    plane, start = ImagePlane(), run.layout.payloads[roi.parts[0]]
    for offset, value in ((_C, plane.c), (_T, plane.t), (_Z, plane.z)):
        more |= run.column(start + offset, ">i4")[:, 0] != value
    if OBJECT_ID_KEY in metadata:
        more |= ~entry.stored_ids[1]  # where it is no id, it is metadata like any other
    item, offset = record.probability
    probability = run.column(run.layout.payloads[id(record.content), item] + offset, ">f8")
    return more | ~np.isnan(probability[:, 0].astype(np.float64))


def _one_block(entry: Entry, memo: Memo) -> Iterator[Block]:
    record = entry.record
    roi = record.at(record.roi)
    if not isinstance(roi, Instance):
        return
    measurements = memo.measurements(record.at(record.measurements))
    yield Block(
        ids=np.frombuffer(entry.id.bytes, dtype=np.uint8)[None],
        corners=np.array([[roi.get(name) for name in _CORNERS]], dtype=np.float64),
        classes=[memo.path_class(record.at(record.path_class))],
        class_index=np.zeros(1, dtype=np.intp),
        names=tuple(measurements),
        values=np.array([list(measurements.values())], dtype=np.float64),
        parent=None if entry.parent is None else entry.parent.visible_id,
    )


def _run_blocks(entry: RunEntry, memo: Memo) -> Iterator[Block]:
    """Columns of a run; in pieces if its rows do not share their measurement names."""
    record, run = entry.record, entry.run
    roi = record.at(record.roi)
    if not isinstance(roi, Instance) or not isinstance(run, UniformRun):
        return
    measurements = record.at(record.measurements)
    values: NDArray[np.generic]
    pieces: list[tuple[NDArray[np.bool_] | slice, tuple[str, ...]]]
    if measurements is None:
        values, pieces = np.empty((len(run), 0)), [(slice(None), ())]
    elif isinstance(measurements, Instance) and measurements.class_name in (schema.FLOAT_LIST, schema.DOUBLE_LIST):
        values, pieces = _value_columns(run, measurements), list(_by_names(run, measurements, memo))
    else:
        for row in range(len(run)):
            yield from _one_block(entry.entry(row), memo)
        return
    corners = run.column(run.layout.payloads[roi.parts[0]] + 8, ">f8", 4)
    classes, class_index = classes_of_rows(run, record.at(record.path_class), memo)
    for rows, names in pieces:
        yield Block(
            entry.ids[rows],
            corners[rows],
            classes,
            class_index[rows],
            names,
            values[rows, : len(names)],
            entry.parent.visible_id,
        )


def _value_columns(run: UniformRun, measurements: Instance) -> NDArray[np.generic]:
    array = measurements.get("values")
    if not isinstance(array, JavaArray) or array not in run.layout.payloads:
        return np.empty((len(run), 0))
    dtype = ">f4" if array.desc.name == schema.FLOAT_ARRAY else ">f8"
    return run.column(run.layout.payloads[array], dtype, len(array))


def _targets(rows: Rows, node: object) -> tuple[list[Instance | None], NDArray[np.intp]]:
    """What the rows refer to where the template refers to `node`, and each row's number among that, shape (n,)."""
    slot = rows.layout.slot_of(node)
    if slot is None:
        return [node if isinstance(node, Instance) else None], np.zeros(len(rows.numbers), dtype=np.intp)
    handles = rows.handles_at(slot)
    distinct = np.array(sorted(first_rows(handles)), dtype=np.uint32)
    targets = [rows.targets[handle] for handle in distinct.tolist()]
    return [node if isinstance(node, Instance) else None for node in targets], np.searchsorted(distinct, handles)


def _by_names(
    rows: Rows, measurements: Instance, memo: Memo
) -> Iterator[tuple[NDArray[np.bool_] | slice, tuple[str, ...]]]:
    array = measurements.get("values")
    n_values = len(array) if isinstance(array, JavaArray) else 0
    targets, number = _targets(rows, measurements.get("names"))
    for index, target in enumerate(targets):
        yield slice(None) if len(targets) == 1 else number == index, memo.names(target)[:n_values]


def classes_of_rows(rows: Rows, node: object, memo: Memo) -> tuple[list[PathClass | None], NDArray[np.intp]]:
    """The classes of rows whose template has the class `node`, and each row's number among them, shape (n,)."""
    targets, class_index = _targets(rows, node)
    return [memo.path_class(target) for target in targets], class_index


def _join(blocks: list[Block]) -> TileTable:
    """One table of many blocks."""
    names = tuple(dict.fromkeys(name for block in blocks for name in block.names))
    classes = tuple(dict.fromkeys(c for block in blocks for c in block.classes if c is not None))
    parents = tuple(dict.fromkeys(block.parent for block in blocks))
    column_of = {name: column for column, name in enumerate(names)}
    class_number = {path_class: number for number, path_class in enumerate(classes)}
    parent_number = {parent: number for number, parent in enumerate(parents)}
    n = sum(len(block.ids) for block in blocks)
    if is_too_sparse(n, len(names), sum(block.values.size for block in blocks)):
        raise DataFileError(f"its tiles have too many different measurements for a table ({len(names):,} names)")
    table = TileTable(
        ids=uuids.empty(n),
        bounds=np.empty((n, 4)),
        classes=classes,
        class_index=np.empty(n, dtype=np.int32),
        names=names,
        values=np.full((n, len(names)), np.nan, dtype=np.float32),
        parent_ids=parents,
        parent_index=np.empty(n, dtype=np.int32),
    )
    start = 0
    for block in blocks:
        rows = slice(start, start + len(block.ids))
        numbers = np.array([-1 if c is None else class_number[c] for c in block.classes], dtype=np.int32)
        table.ids[rows] = block.ids
        table.bounds[rows].reshape(-1, 2, 2)[:] = block.corners.reshape(-1, 2, 2).swapaxes(1, 2)
        table.class_index[rows] = numbers[block.class_index]
        table.parent_index[rows] = parent_number[block.parent]
        columns = [column_of[name] for name in block.names]
        with np.errstate(over="ignore"):
            table.values[rows, slice(None) if columns == list(range(len(names))) else columns] = block.values
        start = rows.stop
    return table


def make_runs(tiles: TileTable, vocabulary: Vocabulary) -> Iterator[tuple[UUID | None, Run]]:
    """Runs of new tiles and what they are to go under.

    Rows keep their order within a parent, but that unclassified tiles and tiles that lack a measurement come after
    the others: what is missing makes a shorter record.

    Raises
    ------
    InvalidEditError
        A measurement name is blank.
    """
    check_names(tiles.names)
    class_nodes = [vocabulary.path_class(path_class) for path_class in tiles.classes]
    for rows in _alike(tiles):
        parent = tiles.parent_ids[tiles.parent_index[rows][0]]
        yield parent, _make_run(tiles, rows, class_nodes, vocabulary)


def _alike(tiles: TileTable) -> list[NDArray[np.intp] | slice]:
    """The rows under each parent whose records have one form: with or without a class, with the same measurements."""
    kinds = tiles.parent_index.astype(np.int64) * 2 + (tiles.class_index < 0)
    lacks = np.isnan(tiles.values)
    if lacks.any():
        patterns, pattern_of_row = np.unique(np.packbits(lacks, axis=1), axis=0, return_inverse=True)
        kinds = kinds * len(patterns) + pattern_of_row.reshape(-1)
    if (kinds == kinds[:1]).all():
        return [slice(None)] if len(tiles) else []
    order = np.argsort(kinds, kind="stable")
    return list(np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1))


def _make_run(
    tiles: TileTable, rows: NDArray[np.intp] | slice, class_nodes: list[Instance | None], vocabulary: Vocabulary
) -> Run:
    ids, class_index, values = tiles.ids[rows], tiles.class_index[rows], tiles.values[rows]
    first_class = tiles.classes[class_index[0]] if class_index[0] >= 0 else None
    known = ~np.isnan(values[0])
    template = make_object(
        PathObject(
            id=UUID(bytes=ids[0].tobytes()),
            type=ObjectType.TILE,
            roi=Roi(RoiKind.RECTANGLE, rectangle(0, 0, 1, 1)),
            path_class=first_class,
            measurements=dict.fromkeys(itertools.compress(tiles.names, known), 0.0),
        ),
        vocabulary,
    )
    handles = {node: handle for handle, node in enumerate(vocabulary.nodes)}
    layout = trace_layout(template, {handle: node for node, handle in handles.items()})
    assert layout is not None  # noqa: S101 - all that a tile shares is in the vocabulary
    record = read_record(template)
    records = np.tile(np.frombuffer(layout.record, dtype=np.uint8), (len(ids), 1))
    _put(records, layout.payloads[dict(record.metadata_strings())[OBJECT_ID_KEY]], uuids.format_text(ids))
    roi, measurements = record.at(record.roi), record.at(record.measurements)
    if isinstance(roi, Instance):
        _put(records, layout.payloads[roi.parts[0]] + 8, tiles.bounds[rows][:, [0, 2, 1, 3]].astype(">f8"))
    if isinstance(measurements, Instance):
        _put(
            records,
            layout.payloads[measurements.get("values")],
            (values if known.all() else values[:, known]).astype(">f4"),
        )
    used = {slot.target for slot in layout.slots + layout.class_slots}
    constants = {slot: layout.handle_at(slot) for slot in layout.slots + layout.class_slots}
    if first_class is not None:
        class_handles = np.array([handles[node] for node in class_nodes if node is not None], dtype=">u4")
        slot = layout.slot_of(vocabulary.path_class(first_class))
        assert slot is not None  # noqa: S101 - a tile names its class once
        _put(records, slot.offset, class_handles[class_index][:, None])
        del constants[slot]
        used |= {node for number, node in enumerate(class_nodes) if node is not None and (class_index == number).any()}
    return UniformRun(layout, records, {handles[node]: node for node in used}, constants)


def _put(records: NDArray[np.uint8], offset: int, columns: NDArray[np.generic]) -> None:
    raw = np.ascontiguousarray(columns).view(np.uint8).reshape(len(records), -1)
    records[:, offset : offset + raw.shape[1]] = raw
