"""Read a Java object stream to a graph.

The data may nest to any depth, so nothing recurses: what an object lacks while the objects in it are read waits on a
stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from her2qp.errors import DataFileError, UnsupportedDataError
from her2qp.qupath.java.classreader import UNSUPPORTED_TAGS, ClassReader
from her2qp.qupath.java.graph import (
    ANY_NUMBER,
    ClassData,
    ClassDesc,
    ClassObject,
    EnumConstant,
    Instance,
    Item,
    JavaArray,
    JavaString,
    Step,
    Value,
)
from her2qp.qupath.java.handles import HandleTable
from her2qp.qupath.java.knownclasses import KnownClasses
from her2qp.qupath.java.protocol import (
    TC_ARRAY,
    TC_BLOCKDATA,
    TC_BLOCKDATALONG,
    TC_CLASS,
    TC_ENDBLOCKDATA,
    TC_ENUM,
    TC_LONGSTRING,
    TC_NULL,
    TC_OBJECT,
    TC_REFERENCE,
    TC_STRING,
)

_NO_STEPS: Iterator[Step] = iter(())
_BLOCKS = (TC_BLOCKDATA, TC_BLOCKDATALONG)
_BLOCK_BYTES = (bytes([TC_BLOCKDATA]), bytes([TC_BLOCKDATALONG]))
_STRINGS = (TC_STRING, TC_LONGSTRING)


class StreamReader(ClassReader):
    """The reading of one stream, or of one record cut out of a stream.

    Parameters
    ----------
    data, handles, position, where, classes
        See :class:`ClassReader`.
    take_run
        Asked when one object in an annotation follows another: takes the second and what follows it as a run (given
        the annotation, and where the first object begins and ends) and returns the number of bytes taken.
    """

    def __init__(
        self,
        data: bytes,
        handles: HandleTable,
        *,
        position: int = 0,
        where: object = None,
        classes: KnownClasses | None = None,
        take_run: Callable[[list[Item], int, int], int] | None = None,
    ) -> None:
        super().__init__(data, handles, position, where, classes)
        self._take_run = take_run

    def read(self) -> list[Item]:
        """Read up to the end of the data.

        The time goes into this loop. The next value belongs in `values`, which lacks `missing` ones; then come the
        other `steps` of the object that has the `parts` and begins at `start`; then what is on the `stack`. A position
        behind the end tells that something was cut off.
        """
        data, end, position, add, take_run = self.data, len(self.data), self.position, self.handles.add, self._take_run
        values, missing, steps, parts, start = list[Any](), ANY_NUMBER, _NO_STEPS, list[ClassData](), 0
        stack: list[tuple[list[Any], int, Iterator[Step], list[ClassData], int]] = []
        while True:
            while not missing:
                for desc, size, missing in steps:
                    values = []
                    if desc is None:
                        parts[-1].content = values
                    else:
                        parts.append(ClassData(desc, data[position : position + size], values))
                        position += size
                    if missing:
                        break
                else:
                    begin, (values, missing, steps, parts, start) = start, stack.pop()
                    if missing < 0 and take_run is not None and position < end and data[position] == TC_OBJECT:
                        position += take_run(values, begin, position)
            if position >= end:
                self.position = position + 1
                if position == end and not stack:
                    return values
                raise self.early_end()
            tag = data[position]
            missing -= 1
            if tag == TC_NULL:
                values.append(None)
                position += 1
            elif tag == TC_ENDBLOCKDATA and missing < ANY_NUMBER and stack:
                missing = 0
                position += 1
            else:
                self.position = position + 1
                if tag == TC_REFERENCE:
                    values.append(self._read_reference())
                elif tag == TC_OBJECT:
                    node = Instance(self.read_class_desc(), [])
                    stack.append((values, missing, steps, parts, start))
                    missing, steps, parts, start = 0, iter(self._steps_of(node.desc)), node.parts, position
                    add(node)
                    values.append(node)
                elif tag == TC_ARRAY:
                    array, elements, length = self._begin_array()
                    values.append(array)
                    if length:
                        stack.append((values, missing, steps, parts, start))
                        values, missing, steps, start = elements, length, _NO_STEPS, position
                elif tag in _BLOCKS and missing < ANY_NUMBER:
                    values.append(self._read_blocks(tag))
                else:
                    values.append(self._read_other(tag))
                position = self.position

    def _steps_of(self, desc: ClassDesc) -> tuple[Step, ...]:
        try:
            return desc.steps
        except DataFileError as error:
            raise self.error(error.what, unsupported=isinstance(error, UnsupportedDataError)) from None

    def _begin_array(self) -> tuple[JavaArray, list[Value], int]:
        """An array, where the objects in it belong, and how many there are to be read."""
        elements: list[Value] = []
        node = JavaArray(self.read_class_desc(), elements)
        self.handles.add(node)
        size = node.desc.element_size
        length = self.length()
        if size:
            node.elements = self.take(length * size)
            return node, elements, 0
        if size is None:
            raise self.error(f"is damaged: an array of class {node.desc.name!r}")
        if length > len(self.data) - self.position:
            raise self.error(f"ends early: an array of {length} objects does not fit")
        return node, elements, length

    def _read_other(self, tag: int) -> Value:
        """Read a string, a value that is rare, or one that is damaged."""
        if tag in _STRINGS:
            return self.read_string(tag)
        if tag == TC_ENUM:
            return self._read_enum()
        if tag == TC_CLASS:
            node = ClassObject(self.read_class_desc())
            self.handles.add(node)
            return node
        if tag in UNSUPPORTED_TAGS:
            raise self.error(f"holds {UNSUPPORTED_TAGS[tag]}", at=self.position - 1, unsupported=True)
        raise self.error(f"is damaged: no object begins with 0x{tag:02x}", at=self.position - 1)

    def _read_reference(self) -> Value:
        node = self.look_up()
        if isinstance(node, ClassDesc):
            raise self.error("is damaged: a class descriptor in the place of an object", at=self.position - 4)
        return node

    def _read_enum(self) -> EnumConstant:
        desc = self.read_class_desc()
        if not desc.is_enum:
            raise self.error(f"is damaged: a constant of {desc.name}, which is no enum")
        node = EnumConstant(desc, JavaString(b""))
        self.handles.add(node)
        tag = self.next()
        name = self._read_reference() if tag == TC_REFERENCE else self.read_string(tag) if tag in _STRINGS else None
        if not isinstance(name, JavaString):
            raise self.error(f"is damaged: a constant of {desc.name} without a name")
        node.name = name
        return node

    def _read_blocks(self, tag: int) -> bytes:
        """Primitive data: adjacent blocks are one."""
        blocks = []
        while True:
            blocks.append(self.take(self.next() if tag == TC_BLOCKDATA else self.length()))
            if self.data[self.position : self.position + 1] not in _BLOCK_BYTES:
                return b"".join(blocks)
            tag = self.next()
