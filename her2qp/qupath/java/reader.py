"""Read a Java object stream to a graph.

The data may nest to any depth and may lie about every length, so nothing recurses: a node that has content gives a
generator that names the list which the next value belongs in, and a stack of these generators drives the reading. A
length is believed only if so many bytes are left.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

from her2qp.errors import DataFileError, UnsupportedDataError
from her2qp.qupath.java import mutf8
from her2qp.qupath.java.graph import (
    ClassData,
    ClassDesc,
    ClassObject,
    EnumConstant,
    Field,
    Instance,
    Item,
    JavaArray,
    JavaString,
    Node,
    Value,
)
from her2qp.qupath.java.protocol import (
    PRIMITIVE_SIZES,
    SC_BLOCK_DATA,
    SC_EXTERNALIZABLE,
    SC_SERIALIZABLE,
    TC_ARRAY,
    TC_BLOCKDATA,
    TC_BLOCKDATALONG,
    TC_CLASS,
    TC_CLASSDESC,
    TC_ENDBLOCKDATA,
    TC_ENUM,
    TC_EXCEPTION,
    TC_LONGSTRING,
    TC_NULL,
    TC_OBJECT,
    TC_PROXYCLASSDESC,
    TC_REFERENCE,
    TC_RESET,
    TC_STRING,
)

Target: TypeAlias = list[Item] | list[Value]

Steps: TypeAlias = Iterator[Target]
"""The rest of a node: yields the list that the next value belongs in."""

MAX_LINEAGE = 16
"""Longest chain of superclasses that is believed."""

_HANDLE = struct.Struct(">I")
_SHORT = struct.Struct(">H")
_LONG = struct.Struct(">Q")
_LENGTH = struct.Struct(">i")
_UID = struct.Struct(">q")
_FLAGS_AND_COUNT = struct.Struct(">BH")

_BLOCKS = (bytes([TC_BLOCKDATA]), bytes([TC_BLOCKDATALONG]))

_UNSUPPORTED_TAGS = {
    TC_RESET: "a reset of the stream",
    TC_EXCEPTION: "an exception written into the stream",
    TC_PROXYCLASSDESC: "a proxy class",
    TC_CLASSDESC: "a class descriptor as an object",
}


class Handles(Protocol):
    """What back references are looked up in."""

    def add(self, node: Node) -> None:
        """Give the next handle to a node."""

    def __getitem__(self, handle: int) -> Node:
        """The node of a handle; KeyError if there is none."""


class StreamReader:
    """The reading of one stream, or of one record cut out of a stream.

    Parameters
    ----------
    data
        The bytes.
    handles
        Where new nodes are numbered and back references looked up.
    where
        What to call the data in errors.
    take_run
        Asked after two successive objects: takes what follows as a run (given the annotation that they are in, where
        the second begins, its size, and whether that is the first one's too) and returns the number of bytes taken.
    """

    def __init__(
        self,
        data: bytes,
        handles: Handles,
        *,
        where: object = None,
        take_run: Callable[[list[Item], int, int, bool], int] | None = None,
    ) -> None:
        self.data = data
        self.position = 0
        self.classes: list[ClassDesc] = []
        self._instantiable: set[ClassDesc] = set()
        self._handles = handles
        self._where = where
        self._take_run = take_run

    def error(self, what: str, *, at: int | None = None, unsupported: bool = False) -> DataFileError:
        """An error that names the place."""
        kind = UnsupportedDataError if unsupported else DataFileError
        return kind(f"{what} (at byte {self.position if at is None else at})", where=self._where)

    def drive(self, steps: Steps) -> None:
        """Read until `steps` and everything that they lead to is done."""
        stack = [steps]
        while stack:
            for into in stack[-1]:
                rest = self._read_value(into)
                if rest is not None:
                    stack.append(rest)
                    break
            else:
                stack.pop()

    def read_content(self, content: list[Item], *, is_top: bool = False) -> Steps:
        """Read an annotation up to its end mark, or the top level up to the end of the data."""
        last_size = 0
        while not (is_top and self.position == len(self.data)):
            tag = self._peek()
            if tag in (TC_BLOCKDATA, TC_BLOCKDATALONG):
                content.append(self._read_blocks())
            elif tag == TC_ENDBLOCKDATA and not is_top:
                self.position += 1
                return
            else:
                start = self.position
                yield content
                size = self.position - start
                if last_size and self._take_run is not None and isinstance(content[-1], Instance):
                    self.position += self._take_run(content, start, size, size == last_size)
                last_size = size

    def _read_value(self, into: Target) -> Steps | None:
        tag = self._peek()
        self.position += 1
        if tag == TC_REFERENCE:
            into.append(self._read_reference())
        elif tag == TC_NULL:
            into.append(None)
        elif tag == TC_OBJECT:
            return self._read_instance(into)
        elif tag in (TC_STRING, TC_LONGSTRING):
            into.append(self._read_string(tag))
        elif tag == TC_ARRAY:
            return self._read_array(into)
        elif tag == TC_ENUM:
            return self._read_enum(into)
        elif tag == TC_CLASS:
            node = ClassObject(self._read_class_desc())
            self._handles.add(node)
            into.append(node)
        elif tag in _UNSUPPORTED_TAGS:
            raise self.error(f"holds {_UNSUPPORTED_TAGS[tag]}", at=self.position - 1, unsupported=True)
        else:
            raise self.error(f"is damaged: no object begins with 0x{tag:02x}", at=self.position - 1)
        return None

    def _read_instance(self, into: Target) -> Steps:
        desc = self._read_class_desc()
        if desc not in self._instantiable:
            self._check_instantiable(desc)
        node = Instance(desc)
        self._handles.add(node)
        into.append(node)
        return self._read_parts(node)

    def _check_instantiable(self, desc: ClassDesc) -> None:
        if desc.is_enum or not desc.flags & (SC_SERIALIZABLE | SC_EXTERNALIZABLE):
            raise self.error(f"is damaged: an object of {desc.name}, which cannot have one")
        if desc.is_externalizable and not desc.flags & SC_BLOCK_DATA:
            raise self.error(f"{desc.name} is written in protocol version 1", unsupported=True)
        if desc.is_externalizable and desc.fields:
            raise self.error(f"is damaged: {desc.name} writes its fields itself and has fields all the same")
        if not desc.is_externalizable and any(ancestor.is_externalizable for ancestor in desc.lineage):
            raise self.error(f"{desc.name} mixes two ways of serialization", unsupported=True)
        self._instantiable.add(desc)

    def _read_parts(self, node: Instance) -> Steps:
        if node.desc.is_externalizable:
            content: list[Item] = []
            node.parts.append(ClassData(node.desc, content=content))
            yield from self.read_content(content)
            return
        for desc in node.desc.lineage:
            part = ClassData(desc, self._take(desc.primitives.size))
            node.parts.append(part)
            for _ in desc.references:
                yield part.references
            if desc.has_annotation:
                part.content = []
                yield from self.read_content(part.content)

    def _read_array(self, into: Target) -> Steps | None:
        desc = self._read_class_desc()
        size = desc.element_size
        if size is None:
            raise self.error(f"is damaged: an array of class {desc.name!r}")
        node = JavaArray(desc, b"")
        self._handles.add(node)
        into.append(node)
        length = self._read_length()
        if size:
            node.elements = self._take(length * size)
            return None
        if length > len(self.data) - self.position:
            raise self.error(f"ends early: an array of {length} objects does not fit")
        elements: list[Value] = []
        node.elements = elements
        return (elements for _ in range(length))

    def _read_enum(self, into: Target) -> Steps:
        desc = self._read_class_desc()
        if not desc.is_enum:
            raise self.error(f"is damaged: a constant of {desc.name}, which is no enum")
        node = EnumConstant(desc, JavaString(b""))
        self._handles.add(node)
        into.append(node)
        name: list[Value] = []
        yield name
        if not isinstance(name[0], JavaString):
            raise self.error(f"is damaged: a constant of {desc.name} without a name")
        node.name = name[0]

    def _read_string(self, tag: int) -> JavaString:
        size = self._unpack(_SHORT if tag == TC_STRING else _LONG)[0]
        node = JavaString(self._take(size))
        self._handles.add(node)
        return node

    def _read_reference(self) -> Value:
        node = self._look_up()
        if isinstance(node, ClassDesc):
            raise self.error("is damaged: a class descriptor in the place of an object", at=self.position - 4)
        return node

    def _look_up(self) -> Node:
        try:
            (handle,) = _HANDLE.unpack_from(self.data, self.position)
        except struct.error:
            raise self._early_end(_HANDLE.size) from None
        self.position += _HANDLE.size
        try:
            return self._handles[handle]
        except KeyError:
            raise self.error(
                f"is damaged: refers to object 0x{handle:x}, which it has not", at=self.position - 4
            ) from None

    def _read_class_desc(self) -> ClassDesc:
        """Read a descriptor and the descriptors of its superclasses."""
        chain: list[ClassDesc] = []
        while True:
            tag = self._peek()
            self.position += 1
            if tag == TC_REFERENCE and not chain:
                known = self._look_up()
                if isinstance(known, ClassDesc):
                    return known
                raise self.error("is damaged: a reference to a class is none", at=self.position - 4)
            if tag == TC_CLASSDESC:
                desc = self._read_new_class_desc()
            elif tag == TC_REFERENCE:
                known = self._look_up()
                if not isinstance(known, ClassDesc) or known in chain:
                    raise self.error("is damaged: a reference to a class is none", at=self.position - 4)
                desc = known
            elif tag == TC_NULL and chain:
                break
            elif tag in (TC_RESET, TC_EXCEPTION, TC_PROXYCLASSDESC):
                raise self.error(f"holds {_UNSUPPORTED_TAGS[tag]}", at=self.position - 1, unsupported=True)
            else:
                raise self.error(f"is damaged: no class begins with 0x{tag:02x}", at=self.position - 1)
            if chain:
                chain[-1].parent = desc
            chain.append(desc)
            if len(chain) > MAX_LINEAGE or (tag == TC_REFERENCE and len(desc.lineage) > MAX_LINEAGE):
                raise self.error(f"{chain[0].name} has more than {MAX_LINEAGE} superclasses", unsupported=True)
            if tag == TC_REFERENCE:
                break
        return chain[0]

    def _read_new_class_desc(self) -> ClassDesc:
        name = self._read_utf()
        (uid,) = self._unpack(_UID)
        desc = ClassDesc(name, uid, 0)
        self._handles.add(desc)
        self.classes.append(desc)
        desc.flags, n_fields = self._unpack(_FLAGS_AND_COUNT)
        desc.fields = tuple(self._read_field() for _ in range(n_fields))
        is_reference = [f.signature is not None for f in desc.fields]
        if is_reference != sorted(is_reference):
            raise self.error(f"is damaged: fields of {name} in an order that Java does not know")
        if len({f.name for f in desc.fields}) != n_fields:
            raise self.error(f"is damaged: two fields of {name} have the same name")
        if self._peek() != TC_ENDBLOCKDATA:
            raise self.error(f"the descriptor of {name} has an annotation", unsupported=True)
        self.position += 1
        return desc

    def _read_field(self) -> Field:
        code = chr(self._peek())
        self.position += 1
        name = self._read_utf()
        if code in PRIMITIVE_SIZES:
            return Field(code, name)
        if code not in ("L", "["):
            raise self.error(f"is damaged: a field of type {code!r}")
        tag = self._peek()
        self.position += 1
        signature = self._look_up() if tag == TC_REFERENCE else self._read_string(tag) if tag == TC_STRING else None
        if not isinstance(signature, JavaString):
            raise self.error(f"is damaged: field {name!r} without a type")
        return Field(code, name, signature)

    def _read_blocks(self) -> bytes:
        """Primitive data: adjacent blocks are one."""
        blocks = [self._read_block()]
        while self.data[self.position : self.position + 1] in _BLOCKS:
            blocks.append(self._read_block())
        return b"".join(blocks)

    def _read_block(self) -> bytes:
        tag = self._peek()
        self.position += 1
        if tag == TC_BLOCKDATA:
            size = self._peek()
            self.position += 1
            return self._take(size)
        return self._take(self._read_length())

    def _read_length(self) -> int:
        (length,) = self._unpack(_LENGTH)
        if length < 0:
            raise self.error("is damaged: a negative length", at=self.position - 4)
        return int(length)

    def _read_utf(self) -> str:
        raw = self._take(self._unpack(_SHORT)[0])
        try:
            return mutf8.decode(raw)
        except UnicodeDecodeError:
            raise self.error("is damaged: a name is not modified UTF-8", at=self.position - len(raw)) from None

    def _unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        try:
            values = layout.unpack_from(self.data, self.position)
        except struct.error:
            raise self._early_end() from None
        self.position += layout.size
        return values

    def _peek(self) -> int:
        try:
            return self.data[self.position]
        except IndexError:
            raise self._early_end() from None

    def _take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise self._early_end(size)
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def _early_end(self, size: int = 1) -> DataFileError:
        return self.error(f"ends early: {size} more bytes expected, {len(self.data) - self.position} left")
