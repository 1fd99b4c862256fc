"""The nodes of a Java object graph.

Nodes compare by identity: in a stream two strings of the same text are two objects unless one refers to the other,
and only what is one node is written as a reference.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from her2qp.errors import DataFileError, UnsupportedDataError
from her2qp.qupath.java import mutf8
from her2qp.qupath.java.protocol import (
    PRIMITIVE_SIZES,
    SC_BLOCK_DATA,
    SC_ENUM,
    SC_EXTERNALIZABLE,
    SC_SERIALIZABLE,
    SC_WRITE_METHOD,
)

if TYPE_CHECKING:
    from her2qp.qupath.java.runs import Run


_STRUCT_CODES = {"B": "b", "C": "H", "D": "d", "F": "f", "I": "i", "J": "q", "S": "h", "Z": "?"}


@dataclass(eq=False, slots=True)
class JavaString:
    """A string object; `raw` is modified UTF-8."""

    raw: bytes

    @classmethod
    def of(cls, text: str) -> JavaString:
        """A new string object."""
        return cls(mutf8.encode(text))

    @property
    def text(self) -> str:
        """The text.

        Raises
        ------
        DataFileError
            The bytes are not modified UTF-8.
        """
        try:
            return mutf8.decode(self.raw)
        except UnicodeDecodeError as error:
            raise DataFileError(f"a string is not modified UTF-8: {self.raw[:40]!r}") from error


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a class: type code (``B C D F I J S Z``, ``L`` or ``[``), name, and signature if not primitive."""

    code: str
    name: str
    signature: JavaString | None = None


@dataclass(eq=False)
class ClassDesc:
    """A class descriptor.

    Parameters
    ----------
    name, uid, flags
        Java's name of the class, its serialVersionUID and the ``SC_*`` flags.
    fields
        Primitives first, then references, as Java orders them.
    parent
        Descriptor of the serializable superclass.
    """

    name: str
    uid: int
    flags: int
    fields: tuple[Field, ...] = ()
    parent: ClassDesc | None = None

    @cached_property
    def element_size(self) -> int | None:
        """Bytes of an element of this array class; 0 if the elements are objects, None if it is no array class."""
        code = self.name[1:2] if self.name.startswith("[") else ""
        return 0 if code in ("L", "[") else PRIMITIVE_SIZES.get(code)

    @property
    def is_externalizable(self) -> bool:
        """Whether an instance is one annotation."""
        return bool(self.flags & SC_EXTERNALIZABLE)

    @property
    def is_enum(self) -> bool:
        """Whether it is an enum type."""
        return bool(self.flags & SC_ENUM)

    @property
    def has_annotation(self) -> bool:
        """Whether the fields of an instance are followed by an annotation."""
        return bool(self.flags & SC_WRITE_METHOD)

    @cached_property
    def spelling(self) -> str:
        """The fields as ``code name [signature]``, separated by commas."""
        return ", ".join(
            f"{f.code} {f.name}" + ("" if f.signature is None else f" {f.signature.text}") for f in self.fields
        )

    @cached_property
    def primitives(self) -> struct.Struct:
        """Big-endian layout of the primitive fields."""
        return struct.Struct(">" + "".join(_STRUCT_CODES[f.code] for f in self.fields if f.code in PRIMITIVE_SIZES))

    @cached_property
    def references(self) -> tuple[str, ...]:
        """Names of the fields that refer to objects."""
        return tuple(f.name for f in self.fields if f.code not in PRIMITIVE_SIZES)

    @cached_property
    def primitive_names(self) -> tuple[str, ...]:
        """Names of the primitive fields."""
        return tuple(f.name for f in self.fields if f.code in PRIMITIVE_SIZES)

    @cached_property
    def lineage(self) -> tuple[ClassDesc, ...]:
        """The class and its serializable superclasses, the topmost first: the order of their data."""
        lineage = [self]
        while lineage[-1].parent is not None:
            lineage.append(lineage[-1].parent)
        return tuple(reversed(lineage))

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """What an instance is in a stream.

        Raises
        ------
        DataFileError
            There can be no instance.
        UnsupportedDataError
            An instance is written in a way that QuPath's files do not have.
        """
        if self.is_enum or not self.flags & (SC_SERIALIZABLE | SC_EXTERNALIZABLE):
            raise DataFileError(f"is damaged: an object of {self.name}, which cannot have one")
        if self.is_externalizable:
            if not self.flags & SC_BLOCK_DATA:
                raise UnsupportedDataError(f"{self.name} is written in protocol version 1")
            if self.fields:
                raise DataFileError(f"is damaged: {self.name} writes its fields itself and has fields all the same")
            return (self, 0, 0), (None, 0, ANY_NUMBER)
        steps: list[Step] = []
        for desc in self.lineage:
            if desc.is_externalizable:
                raise UnsupportedDataError(f"{self.name} mixes two ways of serialization")
            sizes = [PRIMITIVE_SIZES.get(f.code, 0) for f in desc.fields]
            steps.append((desc, sum(sizes), sizes.count(0)))
            if desc.has_annotation:
                steps.append((None, 0, ANY_NUMBER))
        return tuple(steps)


Step: TypeAlias = tuple[ClassDesc | None, int, int]
"""A step in reading an object: the class whose fields come next (None: its annotation), the bytes of its primitive
fields, and the number of values that follow these."""

ANY_NUMBER = -1
"""The number of values in an annotation, which nothing tells before its end."""


@dataclass(eq=False, slots=True)
class ClassData:
    """What one class of an instance's lineage wrote.

    Parameters
    ----------
    desc
        The class.
    primitives
        Raw bytes of the primitive fields.
    references
        Values of the other fields.
    content
        The annotation: primitive data (adjacent blocks joined) as bytes, and objects. None if the class writes none.
    """

    desc: ClassDesc
    primitives: bytes = b""
    references: list[Value] = field(default_factory=list)
    content: list[Item] | None = None


@dataclass(eq=False, slots=True)
class Instance:
    """An object. An externalizable one has a single part, all content."""

    desc: ClassDesc
    parts: list[ClassData] = field(default_factory=list)

    @property
    def class_name(self) -> str:
        """Java's name of the class."""
        return self.desc.name

    @property
    def content(self) -> list[Item]:
        """Annotation of the class itself, not of its superclasses.

        Raises
        ------
        DataFileError
            The class writes none.
        """
        content = self.parts[-1].content if self.parts else None
        if content is None:
            raise DataFileError(f"an object of {self.class_name} has no annotation")
        return content

    def get(self, name: str) -> object:
        """Value of a field, looked for from the class itself upwards: a number, a node or None.

        Raises
        ------
        DataFileError
            No class of the lineage has such a field.
        """
        for part in reversed(self.parts):
            if name in part.desc.references:
                return part.references[part.desc.references.index(name)]
            if name in part.desc.primitive_names:
                value: object = part.desc.primitives.unpack(part.primitives)[part.desc.primitive_names.index(name)]
                return value
        raise DataFileError(f"an object of {self.class_name} has no field {name!r}")

    def fields(self) -> dict[str, object]:
        """All fields by their names, those of superclasses included."""
        fields: dict[str, object] = {}
        for part in self.parts:
            fields.update(zip(part.desc.primitive_names, part.desc.primitives.unpack(part.primitives), strict=True))
            fields.update(zip(part.desc.references, part.references, strict=True))
        return fields

    def set(self, name: str, value: Value | int | float) -> None:
        """Set a field, looked for as in :meth:`get`.

        Raises
        ------
        DataFileError
            No class of the lineage has such a field.
        """
        for part in reversed(self.parts):
            if name in part.desc.references and not isinstance(value, int | float):
                part.references[part.desc.references.index(name)] = value
                return
            if name in part.desc.primitive_names:
                values = list(part.desc.primitives.unpack(part.primitives))
                values[part.desc.primitive_names.index(name)] = value
                part.primitives = part.desc.primitives.pack(*values)
                return
        raise DataFileError(f"an object of {self.class_name} has no field {name!r}")


@dataclass(eq=False, slots=True)
class JavaArray:
    """An array: raw big-endian bytes if of primitives, else the values."""

    desc: ClassDesc
    elements: bytes | list[Value]

    def __len__(self) -> int:
        return len(self.elements) // (self.desc.element_size or 1)


@dataclass(eq=False, slots=True)
class EnumConstant:
    """A constant of an enum type."""

    desc: ClassDesc
    name: JavaString


@dataclass(eq=False, slots=True)
class ClassObject:
    """A ``java.lang.Class`` object."""

    desc: ClassDesc


Node: TypeAlias = ClassDesc | JavaString | JavaArray | Instance | EnumConstant | ClassObject
Value: TypeAlias = JavaString | JavaArray | Instance | EnumConstant | ClassObject | None
Item: TypeAlias = "Value | bytes | Run"
"""What an annotation holds: a value, primitive data, or a run of alike instances."""


def walk(items: list[Item], *, stop_at: frozenset[str] = frozenset()) -> Iterator[Instance]:
    """Every instance within `items`, each once, in the order of the stream; those within runs are passed over.

    Parameters
    ----------
    items
        Where to begin.
    stop_at
        Names of classes whose instances are given but not entered.
    """
    seen: set[int] = set()
    stack: list[Item] = list(reversed(items))
    while stack:
        node = stack.pop()
        if not isinstance(node, Instance | JavaArray) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Instance):
            yield node
            for part in () if node.class_name in stop_at else reversed(node.parts):
                stack.extend(reversed(part.content or ()))
                stack.extend(reversed(part.references))
        elif isinstance(node.elements, list):
            stack.extend(reversed(node.elements))
