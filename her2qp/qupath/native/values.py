"""From nodes to Python values: names, colours, ids, path classes, measurements."""

from __future__ import annotations

import re
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import DataFileError
from her2qp.qupath.classes import PathClass
from her2qp.qupath.java import Instance, Item, JavaArray, JavaString
from her2qp.qupath.native import schema
from her2qp.qupath.native.containers import list_texts, list_values
from her2qp.qupath.native.records import Record
from her2qp.qupath.objects import OBJECT_ID_KEY

_UUID = re.compile(r"([0-9a-fA-F]+)-([0-9a-fA-F]+)-([0-9a-fA-F]+)-([0-9a-fA-F]+)-([0-9a-fA-F]+)")
_UUID_GROUPS = (32, 16, 16, 16, 48)
_USUAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_MOST_CLASS_PARTS = 32


def text_of(item: object) -> str | None:
    """Text of a string node; None for anything else."""
    return item.text if isinstance(item, JavaString) else None


def integer_of(item: object) -> int | None:
    """Value of a ``java.lang.Integer``; None for anything else."""
    if isinstance(item, Instance) and item.class_name == schema.INTEGER:
        value = item.get("value")
        return value if isinstance(value, int) else None
    return None


def is_true(item: object) -> bool:
    """Whether a node is the ``java.lang.Boolean`` that is true."""
    return isinstance(item, Instance) and item.class_name == schema.BOOLEAN and item.get("value") is True


def parse_id(text: str | None) -> UUID | None:
    """An object id as QuPath parses it: short groups are allowed; None if it is none."""
    if text is not None and _USUAL_UUID.fullmatch(text):
        return UUID(int=int(text.replace("-", ""), 16))
    match = _UUID.fullmatch(text) if text is not None and len(text) <= 36 else None
    if match is None:
        return None
    value = 0
    for group, bits in zip(match.groups(), _UUID_GROUPS, strict=True):
        value = value << bits | int(group, 16) & ((1 << bits) - 1)
    return UUID(int=value)


def read_metadata(record: Record) -> tuple[UUID | None, dict[str, str]]:
    """The id that a path object carries, None if it carries none, and the rest of its metadata.

    Raises
    ------
    DataFileError
        It is damaged.
    """
    ids: list[UUID | None] = []
    metadata = {}
    for key, value in record.metadata_strings():
        text = value.text
        if key == OBJECT_ID_KEY:
            ids.append(parse_id(text))
        if key != OBJECT_ID_KEY or ids[-1] is None:
            metadata[key] = text
    node = record.at(record.uuid)
    if isinstance(node, Instance):
        most, least = node.get("mostSigBits"), node.get("leastSigBits")
        if isinstance(most, int) and isinstance(least, int):
            return UUID(int=(most % (1 << 64)) << 64 | least % (1 << 64)), metadata
    return ids[0] if ids else None, metadata


class Memo:
    """Remembers what shared nodes mean: path classes and lists of names."""

    def __init__(self) -> None:
        self._classes: dict[Item, PathClass | None] = {}
        self._names: dict[Item, tuple[str, ...]] = {}

    def path_class(self, item: Item) -> PathClass | None:
        """Path class of a node; None if it is none."""
        if not isinstance(item, Instance) or item.class_name != schema.PATH_CLASS:
            return None
        if item not in self._classes:
            self._classes[item] = _read_path_class(item)
        return self._classes[item]

    def names(self, item: Item) -> tuple[str, ...]:
        """Measurement names of a list node."""
        if item is None:
            return ()
        if item not in self._names:
            self._names[item] = list_texts(item)
        return self._names[item]

    def measurements(self, item: Item) -> dict[str, float]:
        """Measurements of a list node of any kind, in order."""
        if not isinstance(item, Instance):
            return {}
        if item.class_name == schema.DEFAULT_LIST:
            return _read_default_list(item)
        names, values = self.numeric_list(item)
        return dict(zip(names, values.tolist(), strict=True))

    def numeric_list(self, item: Instance) -> tuple[tuple[str, ...], NDArray[np.floating]]:
        """Names and values of a float or double list."""
        names = self.names(_item(item, "names"))
        values = float_array(item.get("values"))
        if len(values) < len(names):
            raise DataFileError("a measurement list has fewer values than names")
        return names, values[: len(names)]


def _item(instance: Instance, field: str) -> Instance | JavaArray | None:
    value = instance.get(field)
    if value is not None and not isinstance(value, Instance | JavaArray):
        raise DataFileError(f"field {field!r} of {instance.class_name} is not what it should be")
    return value


def float_array(node: object) -> NDArray[np.floating]:
    """Values of a ``float[]`` or ``double[]``."""
    if isinstance(node, JavaArray) and isinstance(node.elements, bytes) and node.desc.name in ("[F", "[D"):
        return np.frombuffer(node.elements, dtype=">f4" if node.desc.name == "[F" else ">f8")
    raise DataFileError("an array of numbers is missing")


def _read_path_class(node: Instance) -> PathClass:
    names: list[str] = []
    color = integer_of(node.get("colorRGB"))
    current: object = node
    while isinstance(current, Instance) and current.class_name == schema.PATH_CLASS:
        name = text_of(current.get("name"))
        if name is None or len(names) == _MOST_CLASS_PARTS:
            raise DataFileError("a path class has no name, is derived from itself, or has absurdly many parts")
        names.append(name)
        current = current.get("parentClass")
    return PathClass(tuple(reversed(names)), color)


def _read_default_list(node: Instance) -> dict[str, float]:
    measurements: dict[str, float] = {}
    for element in list_values(node.get("list")):
        name, value = read_measurement(element)
        measurements[name] = value
    return measurements


def read_measurement(element: object) -> tuple[str, float]:
    """Name and value of a ``DoubleMeasurement`` or ``FloatMeasurement``."""
    if isinstance(element, Instance) and element.class_name in (schema.DOUBLE_MEASUREMENT, schema.FLOAT_MEASUREMENT):
        name, value = text_of(element.get("name")), element.get("value")
        if name is not None and isinstance(value, float):
            return name, value
    raise DataFileError("a measurement has no name or no value")
