"""Write a graph as a Java object stream.

Like the reading, the writing does not recurse: a node with content gives a generator of the values within it, and a
stack of generators drives the writing. Handles are given in the order of appearance, as Java does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from her2qp.qupath.java import mutf8
from her2qp.qupath.java.graph import (
    ClassDesc,
    ClassObject,
    EnumConstant,
    Instance,
    Item,
    JavaArray,
    JavaString,
    Node,
    Value,
)
from her2qp.qupath.java.protocol import (
    FIRST_HANDLE,
    MAGIC,
    MAX_BLOCK,
    TC_ARRAY,
    TC_BLOCKDATA,
    TC_BLOCKDATALONG,
    TC_CLASS,
    TC_CLASSDESC,
    TC_ENDBLOCKDATA,
    TC_ENUM,
    TC_LONGSTRING,
    TC_NULL,
    TC_OBJECT,
    TC_REFERENCE,
    TC_STRING,
)
from her2qp.qupath.java.runs import Run

Values: TypeAlias = Iterator[Value]
"""The rest of a node: yields the values that come next in the stream."""


def write_stream(contents: Iterable[Item]) -> bytes:
    """Serialize what is at the top level of a stream.

    Parameters
    ----------
    contents
        Primitive data as bytes, objects, and runs.
    """
    return b"".join(stream_pieces(contents))


def stream_pieces(contents: Iterable[Item]) -> list[bytes | memoryview]:
    """The same in pieces that follow one another; those of long runs are not copied."""
    writer = StreamWriter()
    writer.put(MAGIC)
    writer.drive(writer.write_content(list(contents)))
    return writer.pieces


class StreamWriter:
    """The writing of one stream.

    Parameters
    ----------
    handles
        Nodes that count as written already, with their handles.
    next_handle
        The handle of the next new node.
    """

    def __init__(self, handles: dict[Node, int] | None = None, next_handle: int = FIRST_HANDLE) -> None:
        self.handles: dict[Node, int] = {} if handles is None else handles
        self.next_handle = next_handle
        self._done: list[bytes | memoryview] = []
        self._out = bytearray()

    def put(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._out += data

    def put_payload(self, owner: object, data: bytes) -> None:
        """Write bytes that carry a value of `owner` and may differ between otherwise alike objects."""
        self._out += data

    def put_reference(self, node: Node) -> None:
        """Write a back reference."""
        self._out += struct.pack(">BI", TC_REFERENCE, self.handles[node])

    @property
    def pieces(self) -> list[bytes | memoryview]:
        """All that was written, in pieces."""
        return [*self._done, bytes(self._out)]

    @property
    def tell(self) -> int:
        """Bytes written since the last run."""
        return len(self._out)

    def drive(self, values: Values) -> None:
        """Write until `values` and everything that they lead to is done."""
        stack = [values]
        while stack:
            for value in stack[-1]:
                rest = self._write_value(value)
                if rest is not None:
                    stack.append(rest)
                    break
            else:
                stack.pop()

    def write_content(self, content: list[Item]) -> Values:
        """Write an annotation, without its end mark."""
        for index, item in enumerate(content):
            if isinstance(item, bytes):
                self._write_block((id(content), index), item)
            elif isinstance(item, Run):
                yield from self._write_run(item)
            else:
                yield item

    def _write_value(self, value: Value) -> Values | None:
        if value is None:
            self._out.append(TC_NULL)
        elif value in self.handles:
            self.put_reference(value)
        elif isinstance(value, JavaString):
            self._write_string(value)
        elif isinstance(value, Instance):
            self._out.append(TC_OBJECT)
            self._write_class_desc(value.desc)
            self._add(value)
            return self._write_parts(value)
        elif isinstance(value, JavaArray):
            return self._write_array(value)
        elif isinstance(value, EnumConstant):
            self._out.append(TC_ENUM)
            self._write_class_desc(value.desc)
            self._add(value)
            self._write_value(value.name)
        elif isinstance(value, ClassObject):
            self._out.append(TC_CLASS)
            self._write_class_desc(value.desc)
            self._add(value)
        else:
            raise TypeError(f"{type(value).__name__} is no Java value")
        return None

    def _write_parts(self, node: Instance) -> Values:
        for part in node.parts:
            if part.primitives:
                self.put_payload(part, part.primitives)
            yield from part.references
            if part.content is not None:
                yield from self.write_content(part.content)
                self._out.append(TC_ENDBLOCKDATA)

    def _write_array(self, node: JavaArray) -> Values | None:
        self._out.append(TC_ARRAY)
        self._write_class_desc(node.desc)
        self._add(node)
        self.put(struct.pack(">i", len(node)))
        if isinstance(node.elements, bytes):
            self.put_payload(node, node.elements)
            return None
        return iter(node.elements)

    def _write_string(self, node: JavaString) -> None:
        size = len(node.raw)
        self.put(struct.pack(">BH", TC_STRING, size) if size < 0x10000 else struct.pack(">BQ", TC_LONGSTRING, size))
        self._add(node)
        self.put_payload(node, node.raw)

    def _write_block(self, owner: object, data: bytes) -> None:
        for start in range(0, len(data), MAX_BLOCK):
            block = data[start : start + MAX_BLOCK]
            size = len(block)
            self.put(bytes((TC_BLOCKDATA, size)) if size < 0x100 else struct.pack(">Bi", TC_BLOCKDATALONG, size))
            self.put_payload(owner, block)

    def _write_class_desc(self, desc: ClassDesc) -> None:
        """Write a descriptor and those of its superclasses, up to one that is written already."""
        for current in reversed(desc.lineage):
            if current in self.handles:
                self.put_reference(current)
                return
            self._out.append(TC_CLASSDESC)
            self._write_utf(current.name)
            self.put(struct.pack(">q", current.uid))
            self._add(current)
            self.put(struct.pack(">BH", current.flags, len(current.fields)))
            for field in current.fields:
                self.put(field.code.encode("ascii"))
                self._write_utf(field.name)
                if field.signature is not None:
                    self._write_value(field.signature)
            self._out.append(TC_ENDBLOCKDATA)
        self._out.append(TC_NULL)

    def _write_utf(self, text: str) -> None:
        raw = mutf8.encode(text)
        self.put(struct.pack(">H", len(raw)) + raw)

    def _write_run(self, run: Run) -> Values:
        """Write rows as raw bytes; a row that holds something not written yet goes the long way and is the first."""
        start = 0
        while start < len(run):
            stop = run.first_row_with(lambda node: node not in self.handles, start)
            if stop > start:
                taken = run.take(slice(start, stop))
                self._done += (bytes(self._out), taken.renumbered(self.handles))
                self._out = bytearray()
                self.next_handle += taken.n_handles
            if stop < len(run):
                yield run.instance(stop)
            start = stop + 1

    def _add(self, node: Node) -> None:
        self.handles[node] = self.next_handle
        self.next_handle += 1
