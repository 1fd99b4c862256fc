"""Where the parts of a path object are in what it wrote: ``PathObject.writeExternal`` and its overrides.

Accepted as QuPath's readers do: no MetadataMap (0.3), the id as a ``UUID`` object (a layout that was never released),
null measurements, no lock (before 0.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from her2qp.errors import DataFileError, UnsupportedDataError
from her2qp.qupath.java import Instance, Item, JavaArray, JavaString, Run
from her2qp.qupath.native import schema
from her2qp.qupath.native.cursor import Cursor, get_primitive
from her2qp.qupath.objects import ObjectType

TYPES = {
    schema.ANNOTATION: ObjectType.ANNOTATION,
    schema.DETECTION: ObjectType.DETECTION,
    schema.TILE: ObjectType.TILE,
    schema.CELL: ObjectType.CELL,
    schema.TMA_CORE: ObjectType.TMA_CORE,
}
"""Java class to type of object; the root is none of them."""

NAME, COLOR = 0, 1
"""Items of the name and the colour, the same in all objects."""

Place = tuple[int, int]


@dataclass(slots=True, eq=False)
class Record:
    """A path object and the places of its parts.

    Parameters
    ----------
    instance
        The object.
    type
        None for the root.
    metadata, measurements, uuid, locked, path_class, roi, nucleus
        Items in the annotation; None where there is none.
    child_count, probability, missing
        Places of primitives (item, offset).
    children
        Items of the children: first, and one past the last.
    """

    instance: Instance
    type: ObjectType | None
    content: list[Item]
    metadata: int | None = None
    uuid: int | None = None
    measurements: int | None = None
    child_count: Place = (0, 0)
    children: tuple[int, int] = (0, 0)
    locked: int | None = None
    path_class: int | None = None
    roi: int | None = None
    probability: Place | None = None
    nucleus: int | None = None
    missing: Place | None = None

    def at(self, index: int | None) -> Item:
        """The item at a place; None if there is no such place."""
        return None if index is None else self.content[index]

    @property
    def child_items(self) -> list[Item]:
        """The children: instances and runs."""
        return self.content[self.children[0] : self.children[1]]

    @property
    def is_table_tile(self) -> bool:
        """Whether it is a rectangular tile, which goes into a table of tiles."""
        roi = self.at(self.roi)
        return self.type is ObjectType.TILE and isinstance(roi, Instance) and roi.class_name == schema.RECTANGLE

    def own_nodes(self) -> Iterator[object]:
        """The measurement list and what keeps its values, unless it is empty: an object shares them with no other."""
        node = self.at(self.measurements)
        if isinstance(node, Instance):
            is_default = node.class_name == schema.DEFAULT_LIST
            kept = node.get("list" if is_default else "values")
            is_empty = not kept.get("size") if is_default and isinstance(kept, Instance) else not kept
            yield from () if is_empty else (node, kept)

    def metadata_strings(self) -> list[tuple[str, JavaString]]:
        """Metadata as pairs of key and value, in order, the object id among them."""
        node = self.at(self.metadata)
        if not isinstance(node, Instance):
            return []
        arrays = [item.elements for item in node.content if isinstance(item, JavaArray)]
        if len(arrays) != 2:
            raise DataFileError("a metadata map has no keys and values")
        keys, values = arrays
        if not isinstance(keys, list) or not isinstance(values, list) or len(keys) != len(values):
            raise DataFileError("a metadata map has not as many keys as values")
        pairs = zip(keys, values, strict=True)
        return [(k.text, v) for k, v in pairs if isinstance(k, JavaString) and isinstance(v, JavaString)]


def read_record(instance: Instance) -> Record:
    """Find the parts of a path object.

    Raises
    ------
    UnsupportedDataError
        It is of a class that is not known.
    DataFileError
        It has not the parts that it should.
    """
    name = instance.class_name
    if name not in TYPES and name != schema.ROOT:
        raise UnsupportedDataError(f"the hierarchy holds an object of a class that is not known: {name}")
    record = Record(instance, TYPES.get(name), instance.content)
    cursor = Cursor(record.content)
    cursor.object()
    cursor.object()
    _read_metadata_and_measurements(record, cursor)
    _read_children(record, cursor)
    if record.type is not None:
        _read_roi_part(record, cursor)
    return record


def _read_metadata_and_measurements(record: Record, cursor: Cursor) -> None:
    third = cursor.object()
    if isinstance(third, Instance) and third.class_name == schema.METADATA_MAP:
        record.metadata = cursor.index - 1
        record.measurements = cursor.index
        cursor.object()
    elif isinstance(third, Instance) and third.class_name == schema.UUID_CLASS:
        record.uuid = cursor.index - 1
        n_fields = int(get_primitive(record.content, cursor.primitive(">i"), ">i"))
        for _ in range(n_fields):
            value = cursor.object()
            if isinstance(value, Instance) and value.class_name == schema.METADATA_MAP:
                record.metadata = cursor.index - 1
            else:
                record.measurements = cursor.index - 1
    else:
        record.measurements = cursor.index - 1


def _read_children(record: Record, cursor: Cursor) -> None:
    record.child_count = cursor.primitive(">i")
    wanted = int(get_primitive(record.content, record.child_count, ">i"))
    if wanted < 0:
        raise DataFileError("an object has a negative number of children")
    first = cursor.index
    while wanted > 0:
        item = record.content[cursor.index] if cursor.index < len(record.content) else None
        if not isinstance(item, Instance | Run):
            raise DataFileError("an object has fewer children than it says")
        wanted -= len(item) if isinstance(item, Run) else 1
        cursor.index += 1
    if wanted < 0:
        raise DataFileError("an object has more children than it says")
    record.children = first, cursor.index


def _read_roi_part(record: Record, cursor: Cursor) -> None:
    value = cursor.object()
    if isinstance(value, Instance) and value.class_name == schema.BOOLEAN:
        record.locked = cursor.index - 1
        cursor.object()
    record.path_class = cursor.index - 1
    cursor.object()
    record.roi = cursor.index - 1
    record.probability = cursor.primitive(">d")
    if record.type is ObjectType.TMA_CORE:
        record.missing = cursor.primitive("?")
    elif record.type is ObjectType.CELL and cursor.at_object:
        record.nucleus = cursor.index
