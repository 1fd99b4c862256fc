"""Find out the layout of a record by writing it and noting what each byte is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from her2qp.qupath.java.graph import ClassDesc, Instance, Node
from her2qp.qupath.java.runs import OWN_HANDLES, Layout, Slot
from her2qp.qupath.java.writer import StreamWriter


class RecordTracer(StreamWriter):
    """Writes one object and remembers where payloads and references lie."""

    def __init__(self, shared: Mapping[int, Node]) -> None:
        super().__init__({node: handle for handle, node in shared.items()}, OWN_HANDLES)
        self.spans: list[tuple[int, int]] = []
        self.payloads: dict[object, int] = {}
        self.slots: list[Slot] = []
        self.class_slots: list[Slot] = []

    def put_payload(self, owner: object, data: bytes) -> None:
        """Write values and note where."""
        self.payloads.setdefault(owner, self.tell)
        self.spans.append((self.tell, len(data)))
        super().put_payload(owner, data)

    def put_reference(self, node: Node) -> None:
        """Write a back reference and note where."""
        (self.class_slots if isinstance(node, ClassDesc) else self.slots).append(Slot(self.tell + 1, node))
        super().put_reference(node)


def trace_layout(template: Instance, shared: Mapping[int, Node]) -> Layout | None:
    """Layout of the records that are like an object.

    Parameters
    ----------
    template
        The object. The layout keeps it.
    shared
        Handle to node of everything that counts as known outside the record.

    Returns
    -------
    Layout or None
        None if the object brings a class with it, or refers to itself or a part of itself: then the handles in
        successive records are not alike.
    """
    tracer = RecordTracer(shared)
    tracer.drive(_only(template))
    slots, class_slots = tuple(tracer.slots), tuple(tracer.class_slots)
    if any(tracer.handles[slot.target] >= OWN_HANDLES for slot in slots + class_slots):
        return None
    if any(isinstance(node, ClassDesc) and handle >= OWN_HANDLES for node, handle in tracer.handles.items()):
        return None
    record = b"".join(tracer.pieces)
    structure = np.full(len(record), 0xFF, dtype=np.uint8)
    for start, size in [*tracer.spans, *((slot.offset, 4) for slot in slots)]:
        structure[start : start + size] = 0
    n_handles = tracer.next_handle - OWN_HANDLES
    return Layout(template, record, structure, tracer.payloads, slots, class_slots, n_handles)


def _only(template: Instance) -> Iterator[Instance]:
    yield template
