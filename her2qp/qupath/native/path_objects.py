"""Path objects in the graph: to values and back."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from uuid import UUID

from her2qp.qupath.java import Instance, Item, JavaString, Value
from her2qp.qupath.native import schema
from her2qp.qupath.native.cursor import get_primitive
from her2qp.qupath.native.entries import Entry
from her2qp.qupath.native.measurements import make_default_list, make_float_list
from her2qp.qupath.native.records import COLOR, NAME, TYPES, Record
from her2qp.qupath.native.roi_nodes import make_roi_node, read_rois
from her2qp.qupath.native.values import Memo, integer_of, is_true, text_of
from her2qp.qupath.native.vocabulary import Vocabulary
from her2qp.qupath.objects import OBJECT_ID_KEY, ObjectType, PathObject, Roi

_CLASSES = {kind: name for name, kind in TYPES.items()}

_FLOAT_TYPES = (ObjectType.DETECTION, ObjectType.TILE, ObjectType.CELL)
"""Types whose measurements QuPath keeps as float32."""


def read_objects(entries: Sequence[Entry], memo: Memo) -> list[PathObject]:
    """The values of objects that are not the root; many at once are faster than one by one.

    Raises
    ------
    DataFileError
        A part of one is damaged.
    """
    rois = read_rois([entry.record.at(entry.record.roi) for entry in entries])
    nuclei = read_rois([entry.record.at(entry.record.nucleus) for entry in entries])
    return [_read_object(*parts, memo) for parts in zip(entries, rois, nuclei, strict=True)]


def _read_object(entry: Entry, roi: Roi | None, nucleus: Roi | None, memo: Memo) -> PathObject:
    record = entry.record
    content = record.content
    assert record.type is not None and record.probability is not None and entry.parent is not None  # noqa: S101 - no root
    return PathObject(
        id=entry.id,
        type=record.type,
        roi=roi,
        path_class=memo.path_class(record.at(record.path_class)),
        name=text_of(content[NAME]),
        color=integer_of(content[COLOR]),
        locked=is_true(record.at(record.locked)),
        metadata=entry.metadata,
        measurements=memo.measurements(record.at(record.measurements)),
        class_probability=float(get_primitive(content, record.probability, ">d")),
        parent=entry.parent.visible_id,
        nucleus=nucleus,
        is_missing=record.missing is not None and bool(get_primitive(content, record.missing, "?")),
    )


def make_object(value: PathObject, vocabulary: Vocabulary) -> Instance:
    """The node of an object without children.

    Raises
    ------
    InvalidEditError
        QuPath could not read it back.
    """
    where = f"object {value.id}"
    measurements: Instance | None = None
    if value.measurements:
        make = make_float_list if value.type in _FLOAT_TYPES else make_default_list
        measurements = make(value.measurements, vocabulary, where=where)
    node = vocabulary.instance(_CLASSES[value.type])
    content: list[Item] = [
        None if value.name is None else JavaString.of(value.name),
        None if value.color is None else vocabulary.integer(value.color),
        make_metadata(value.id, value.metadata, vocabulary),
        measurements,
        struct.pack(">i", 0),
        vocabulary.boolean(value.locked),
        vocabulary.path_class(value.path_class),
        None if value.roi is None else make_roi_node(value.roi, vocabulary, where=where),
        struct.pack(">d", value.class_probability),
    ]
    if value.type is ObjectType.TMA_CORE:
        content[-1] = struct.pack(">d?", value.class_probability, value.is_missing)
    elif value.type is ObjectType.CELL:
        content.append(None if value.nucleus is None else make_roi_node(value.nucleus, vocabulary, where=where))
    node.content[:] = content
    return node


def make_metadata(object_id: UUID, metadata: Mapping[str, str], vocabulary: Vocabulary) -> Instance:
    """A metadata map with an object id, which comes last."""
    return _make_metadata(object_id, {key: JavaString.of(text) for key, text in metadata.items()}, vocabulary)


def store_id(record: Record, object_id: UUID, vocabulary: Vocabulary) -> None:
    """Write an id into an object that has none, as QuPath 0.4 and later do; QuPath 0.3 keeps it as metadata.

    The places in the record are those of before.
    """
    metadata = _make_metadata(object_id, dict(record.metadata_strings()), vocabulary)
    if record.metadata is not None:
        record.content[record.metadata] = metadata
    elif record.measurements is not None:
        record.content.insert(record.measurements, metadata)


def _make_metadata(object_id: UUID, strings: Mapping[str, JavaString], vocabulary: Vocabulary) -> Instance:
    kept = {key: text for key, text in strings.items() if key != OBJECT_ID_KEY}
    keys: list[Value] = [vocabulary.string(key) for key in (*kept, OBJECT_ID_KEY)]
    values: list[Value] = [*kept.values(), JavaString.of(str(object_id))]
    node = vocabulary.instance(schema.METADATA_MAP)
    node.content[:] = [vocabulary.integer(1), vocabulary.array(keys), vocabulary.array(values)]
    return node
