"""Read the descriptors of classes."""

from __future__ import annotations

import struct

from her2qp.qupath.java.bytereader import ByteReader
from her2qp.qupath.java.graph import ClassDesc, Field, JavaString, Node
from her2qp.qupath.java.handles import HandleTable
from her2qp.qupath.java.knownclasses import Described, KnownClasses
from her2qp.qupath.java.protocol import (
    PRIMITIVE_SIZES,
    TC_CLASSDESC,
    TC_ENDBLOCKDATA,
    TC_EXCEPTION,
    TC_NULL,
    TC_PROXYCLASSDESC,
    TC_REFERENCE,
    TC_RESET,
    TC_STRING,
)

MAX_LINEAGE = 16
"""Longest chain of superclasses that is believed."""

UNSUPPORTED_TAGS = {
    TC_RESET: "a reset of the stream",
    TC_EXCEPTION: "an exception written into the stream",
    TC_PROXYCLASSDESC: "a proxy class",
    TC_CLASSDESC: "a class descriptor as an object",
}

_REFERENCE = struct.Struct(">BI")
_HANDLE = struct.Struct(">I")
_SHORT = struct.Struct(">H")
_LONG = struct.Struct(">Q")
_UID_FLAGS_AND_COUNT = struct.Struct(">qBH")


class ClassReader(ByteReader):
    """Reads descriptors, and what is in them: strings and references.

    Parameters
    ----------
    data, position, where
        See :class:`ByteReader`.
    handles
        Where new nodes are numbered and back references looked up.
    classes
        Those that the stream may share with others.

    Attributes
    ----------
    found
        The classes of the stream so far, in order.
    """

    def __init__(
        self,
        data: bytes,
        handles: HandleTable,
        position: int = 0,
        where: object = None,
        classes: KnownClasses | None = None,
    ) -> None:
        super().__init__(data, position, where)
        self.handles = handles
        self.found: dict[ClassDesc, None] = {}
        self._shared = KnownClasses() if classes is None else classes
        self._described: list[Described] = []
        self._references: list[tuple[int, Described]] = []

    def look_up(self) -> Node:
        """Take a handle; its node."""
        try:
            handle = _HANDLE.unpack_from(self.data, self.position)[0]
            node = self.handles[handle]
        except struct.error:
            raise self.early_end(_HANDLE.size) from None
        except KeyError:
            raise self.error(f"is damaged: refers to object 0x{handle:x}, which it has not") from None
        self.position += 4
        return node

    def read_string(self, tag: int) -> JavaString:
        """Read a string after its tag, short or long."""
        size = self.unpack(_SHORT if tag == TC_STRING else _LONG)[0]
        raw = self.data[self.position : self.position + size]
        if len(raw) < size:
            raise self.early_end(size)
        self.position += size
        node = JavaString(raw)
        self.handles.add(node)
        return node

    def read_class_desc(self) -> ClassDesc:
        """Read a descriptor and the descriptors of its superclasses, or a reference to one."""
        try:
            tag, handle = _REFERENCE.unpack_from(self.data, self.position)
            known = self.handles[handle] if tag == TC_REFERENCE else None
        except (struct.error, KeyError):
            known = None
        if isinstance(known, ClassDesc):
            self.position += 5
            return known
        return self._read_chain()

    def _read_chain(self) -> ClassDesc:
        start = self.position
        tag = self.next()
        if tag == TC_REFERENCE:
            return self._known_class()
        known, end = self._shared.find(self.data, start, self.handles, self.found)
        if known is None:
            desc = self._read_new_chain(tag)
            self._shared.learn(self.data, start, self.position, self._references, self._described)
            return desc
        self.position = end
        for node in known.nodes:
            self.handles.add(node)
        self.found.update(dict.fromkeys(known.classes))
        return known.classes[0]

    def _read_new_chain(self, tag: int) -> ClassDesc:
        chain: list[ClassDesc] = []
        self._described, self._references = [], []
        while tag == TC_CLASSDESC:
            self._append(chain, self._read_new_class_desc())
            tag = self.next()
        if tag == TC_REFERENCE and chain:
            known = self._known_class()
            if known in chain:
                raise self.error("is damaged: a reference to a class is none", at=self.position - 4)
            self._append(chain, known)
        elif tag in UNSUPPORTED_TAGS:
            raise self.error(f"holds {UNSUPPORTED_TAGS[tag]}", at=self.position - 1, unsupported=True)
        elif tag != TC_NULL or not chain:
            raise self.error(f"is damaged: no class begins with 0x{tag:02x}", at=self.position - 1)
        return chain[0]

    def _known_class(self) -> ClassDesc:
        known = self.look_up()
        if not isinstance(known, ClassDesc):
            raise self.error("is damaged: a reference to a class is none", at=self.position - 4)
        self._references.append((self.position - 4, known))
        return known

    def _append(self, chain: list[ClassDesc], desc: ClassDesc) -> None:
        """Let a class be the superclass of the last in a chain."""
        if chain:
            chain[-1].parent = desc
        chain.append(desc)
        if len(chain) > MAX_LINEAGE or (desc.parent is not None and len(desc.lineage) > MAX_LINEAGE):
            raise self.error(f"{chain[0].name} has more than {MAX_LINEAGE} superclasses", unsupported=True)

    def _read_new_class_desc(self) -> ClassDesc:
        name = self.name()
        uid, flags, n_fields = self.unpack(_UID_FLAGS_AND_COUNT)
        desc = ClassDesc(name, uid, flags)
        self.handles.add(desc)
        self.found[desc] = None
        self._described.append(desc)
        if n_fields:
            desc.fields = self._read_fields(name, n_fields)
        if self.next() != TC_ENDBLOCKDATA:
            raise self.error(f"the descriptor of {name} has an annotation", at=self.position - 1, unsupported=True)
        return desc

    def _read_fields(self, class_name: str, n_fields: int) -> tuple[Field, ...]:
        fields = tuple(self._read_field() for _ in range(n_fields))
        is_reference = [field.signature is not None for field in fields]
        if is_reference != sorted(is_reference):
            raise self.error(f"is damaged: fields of {class_name} in an order that Java does not know")
        if len({field.name for field in fields}) != n_fields:
            raise self.error(f"is damaged: two fields of {class_name} have the same name")
        return fields

    def _read_field(self) -> Field:
        code = chr(self.next())
        name = self.name()
        if code in PRIMITIVE_SIZES:
            return Field(code, name)
        if code not in ("L", "["):
            raise self.error(f"is damaged: a field of type {code!r}")
        return Field(code, name, self._read_signature(name))

    def _read_signature(self, name: str) -> JavaString:
        tag = self.next()
        signature = self.look_up() if tag == TC_REFERENCE else self.read_string(tag) if tag == TC_STRING else None
        if not isinstance(signature, JavaString):
            raise self.error(f"is damaged: field {name!r} without a type")
        if tag == TC_REFERENCE:
            self._references.append((self.position - 4, signature))
        else:
            self._described.append(signature)
        return signature
