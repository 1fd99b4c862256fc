"""The parts of a data file as bytes of their own, so that what an edit leaves alone can be told exactly."""

from __future__ import annotations

from uuid import UUID

from her2qp.qupath.java import ClassData, Instance, write_stream
from her2qp.qupath.native.cursor import set_primitive
from her2qp.qupath.native.document import Document
from her2qp.qupath.native.entries import Entry
from her2qp.qupath.native.records import Record


def other_parts(raw: bytes) -> list[bytes]:
    """Everything at the top level but the hierarchy: header, server, type, stains, workflow, properties."""
    return [write_stream([item]) for item in Document.from_bytes(raw).others]


def object_bytes(raw: bytes, *, measurements: bool = True) -> dict[UUID, tuple[UUID | None, bytes]]:
    """Each object's parent and what it writes of itself, its children left out.

    Parameters
    ----------
    raw
        The file.
    measurements
        Whether measurements belong to it.
    """
    found: dict[UUID, tuple[UUID | None, bytes]] = {}
    index = Document.from_bytes(raw).index
    for entry in index.entries:
        singles = [entry] if isinstance(entry, Entry) else [entry.entry(row) for row in range(len(entry.run))]
        for single in singles:
            assert single.parent is not None
            found[single.id] = single.parent.visible_id, _own_bytes(single.record, measurements)
    return found


def _own_bytes(record: Record, measurements: bool) -> bytes:
    content = list(record.content)
    set_primitive(content, record.child_count, ">i", 0)
    if not measurements and record.measurements is not None:
        content[record.measurements] = None
    first, stop = record.children
    alone = Instance(record.instance.desc, [ClassData(record.instance.desc, content=content[:first] + content[stop:])])
    return write_stream([alone])
