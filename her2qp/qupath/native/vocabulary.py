"""What a file already has and new objects should share: classes, strings, booleans, path classes, lists of names.

Java writes an object once and refers to it afterwards. A new tile that shares its class descriptors, its path class
and its list of measurement names with the others takes 200 bytes instead of 2000, and QuPath relies on some of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from her2qp.qupath.classes import PathClass, default_color
from her2qp.qupath.java import ClassDesc, Instance, JavaArray, JavaString, Node, Value
from her2qp.qupath.java.graph import ClassData
from her2qp.qupath.native import schema
from her2qp.qupath.native.containers import list_values, new_array_list, new_hash_map
from her2qp.qupath.native.records import Record
from her2qp.qupath.native.values import Memo, integer_of, is_true

_DEFAULT_PRIMITIVE = {"c": -1}


class Vocabulary:
    """Shared nodes of one file; what is missing is made when asked for.

    Parameters
    ----------
    classes
        Class descriptors of the file.
    memo
        Meanings of its nodes.
    """

    def __init__(self, classes: Iterable[ClassDesc], memo: Memo) -> None:
        self._memo = memo
        self._descs: dict[str, ClassDesc] = {}
        self._strings: dict[str, JavaString] = {}
        self._integers: dict[int, Instance] = {}
        self._booleans: dict[bool, Instance] = {}
        self._path_classes: dict[tuple[str, ...], Instance] = {}
        self._names: dict[tuple[str, ...], tuple[Value, Value]] = {}
        for desc in classes:
            self._descs.setdefault(desc.name, desc)
            for field in desc.fields:
                if field.signature is not None:
                    self._strings.setdefault(field.signature.text, field.signature)

    @property
    def nodes(self) -> list[Node]:
        """Everything that may be shared."""
        lists = [node for pair in self._names.values() for node in pair if node is not None]
        tables = self._descs, self._strings, self._integers, self._booleans, self._path_classes
        return [*lists, *(node for table in tables for node in table.values())]

    def learn(self, record: Record) -> None:
        """Take note of what a path object of the file has to share."""
        for key, _ in record.metadata_strings():
            self._learn_keys(record, key)
        locked = record.at(record.locked)
        if isinstance(locked, Instance):
            self._booleans.setdefault(is_true(locked), locked)
        self.learn_class(record.at(record.path_class))
        self._learn_measurements(record.at(record.measurements))

    def learn_class(self, node: object) -> None:
        """Take note of a path class of the file, and of those that it is derived from; passes over anything else."""
        while isinstance(node, Instance) and (value := self._memo.path_class(node)) is not None:
            if self._path_classes.setdefault(value.names, node) is not node:
                break
            node = node.get("parentClass")

    def _learn_keys(self, record: Record, key: str) -> None:
        if key in self._strings:
            return
        metadata = record.at(record.metadata)
        if isinstance(metadata, Instance):
            version, keys = metadata.content[0], metadata.content[1]
            if isinstance(version, Instance) and integer_of(version) == 1:
                self._integers.setdefault(1, version)
            if isinstance(keys, JavaArray) and isinstance(keys.elements, list):
                for element in keys.elements:
                    if isinstance(element, JavaString):
                        self._strings.setdefault(element.text, element)

    def _learn_measurements(self, node: object) -> None:
        if not isinstance(node, Instance) or node.class_name not in (schema.FLOAT_LIST, schema.DOUBLE_LIST):
            return
        names, index = node.get("names"), node.get("map")
        if (
            not isinstance(names, Instance)
            or not isinstance(index, Instance | None)
            or node.get("isClosed") is not True
        ):
            return
        texts = self._memo.names(names)
        if texts not in self._names:
            self._names[texts] = names, index
            for element in list_values(names):
                if isinstance(element, JavaString):
                    self._strings.setdefault(element.text, element)

    def desc(self, name: str) -> ClassDesc:
        """Descriptor of a known class."""
        missing = [name]
        while missing[-1] not in self._descs and (parent := schema.parent_name(missing[-1])) is not None:
            missing.append(parent)
        for current in reversed(missing):
            if current not in self._descs:
                parent = schema.parent_name(current)
                above = None if parent is None else self._descs[parent]
                self._descs[current] = schema.make_class(current, above, self.string)
        return self._descs[name]

    def instance(self, name: str) -> Instance:
        """A new object with zero and null fields (the channel of a ROI: -1, which is none) and an empty annotation."""
        desc = self.desc(name)
        if desc.is_externalizable:
            return Instance(desc, [ClassData(desc, content=[])])
        parts = []
        for current in desc.lineage:
            numbers = [_DEFAULT_PRIMITIVE.get(field, 0) for field in current.primitive_names]
            part = ClassData(current, current.primitives.pack(*numbers), [None] * len(current.references))
            part.content = [] if current.has_annotation else None
            parts.append(part)
        return Instance(desc, parts)

    def string(self, text: str) -> JavaString:
        """A string that may be shared: a key or a name."""
        return self._strings.setdefault(text, JavaString.of(text))

    def integer(self, value: int) -> Instance:
        """An ``Integer`` that may be shared."""
        if value not in self._integers:
            self._integers[value] = self.instance(schema.INTEGER)
            self._integers[value].set("value", value)
        return self._integers[value]

    def boolean(self, value: bool) -> Instance:
        """The ``Boolean`` of a value: QuPath has one of each."""
        if value not in self._booleans:
            self._booleans[value] = self.instance(schema.BOOLEAN)
            self._booleans[value].set("value", value)
        return self._booleans[value]

    def path_class(self, path_class: PathClass | None) -> Instance | None:
        """The node of a path class: the file's own where it has one, colour included."""
        if path_class is None:
            return None
        above: Instance | None = None
        for depth in range(1, len(path_class.names) + 1):
            names = path_class.names[:depth]
            if names not in self._path_classes:
                given = path_class.color if depth == len(path_class.names) else None
                node = self.instance(schema.PATH_CLASS)
                node.set("colorRGB", self._color(default_color(names) if given is None else given))
                node.set("name", JavaString.of(names[-1]))
                node.set("parentClass", above)
                self._path_classes[names] = node
            above = self._path_classes[names]
        return above

    def _color(self, value: int) -> Instance:
        node = self.instance(schema.INTEGER)
        node.set("value", value)
        return node

    def measurement_names(self, names: tuple[str, ...]) -> tuple[Value, Value]:
        """The closed list of measurement names and its index, which all measurement lists with these names share."""
        if names not in self._names:
            strings = [self.string(name) for name in names]
            array_list = new_array_list(strings, self.instance)
            closed = self.instance(schema.UNMODIFIABLE_LIST)
            closed.set("c", array_list)
            closed.set("list", array_list)
            index = [(string, self.integer(i)) for i, string in enumerate(strings)]
            self._names[names] = closed, new_hash_map(index, self.instance)
        return self._names[names]

    def array(self, values: list[Value]) -> JavaArray:
        """A new ``Object[]``."""
        return JavaArray(self.desc(schema.OBJECT_ARRAY), values)

    def float_array(self, values: bytes) -> JavaArray:
        """A new ``float[]`` of big-endian bytes."""
        return JavaArray(self.desc(schema.FLOAT_ARRAY), values)
