"""Measurement lists in the graph: make, set, drop.

An annotation has a list of measurement objects, a detection an array of numbers and a list of names that it shares
with the others. An object without measurements has no list at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from her2qp.errors import DataFileError, InvalidEditError
from her2qp.qupath.java import Instance, Item, JavaArray, Value
from her2qp.qupath.native import schema
from her2qp.qupath.native.containers import list_values, new_array_list, set_list
from her2qp.qupath.native.records import Record
from her2qp.qupath.native.values import Memo, read_measurement
from her2qp.qupath.native.vocabulary import Vocabulary
from her2qp.qupath.objects import ObjectType

_ANNOTATION_TYPES = (None, ObjectType.ANNOTATION, ObjectType.TMA_CORE)


def check_names(names: Iterable[str], *, where: object = None) -> None:
    """Check the names of measurements.

    Raises
    ------
    InvalidEditError
        A name is blank.
    """
    if any(not name.strip() for name in names):
        raise InvalidEditError("the name of a measurement is blank", where=where)


def make_default_list(measurements: Mapping[str, float], vocabulary: Vocabulary, *, where: object = None) -> Instance:
    """The list of an annotation or core: full precision."""
    check_names(measurements, where=where)
    elements = [_make_measurement(name, value, vocabulary) for name, value in measurements.items()]
    node = vocabulary.instance(schema.DEFAULT_LIST)
    node.set("list", new_array_list(elements, vocabulary.instance))
    return node


def make_float_list(measurements: Mapping[str, float], vocabulary: Vocabulary, *, where: object = None) -> Instance:
    """The list of a detection: float32, the names shared."""
    check_names(measurements, where=where)
    return _make_numeric_list(schema.FLOAT_LIST, measurements, vocabulary)


def _make_measurement(name: str, value: float, vocabulary: Vocabulary) -> Instance:
    node = vocabulary.instance(schema.DOUBLE_MEASUREMENT)
    node.set("value", float(value))
    node.set("name", vocabulary.string(name))
    return node


def _make_numeric_list(class_name: str, measurements: Mapping[str, float], vocabulary: Vocabulary) -> Instance:
    names, index = vocabulary.measurement_names(tuple(measurements))
    node = vocabulary.instance(class_name)
    node.set("isClosed", True)
    node.set("names", names)
    node.set("map", index)
    is_float = class_name == schema.FLOAT_LIST
    with np.errstate(over="ignore"):
        values = np.array(list(measurements.values()), dtype=">f8").astype(">f4" if is_float else ">f8")
    array = vocabulary.desc(schema.FLOAT_ARRAY if is_float else schema.DOUBLE_ARRAY)
    node.set("values", JavaArray(array, values.tobytes()))
    return node


def drop_measurements(record: Record, names: frozenset[str], vocabulary: Vocabulary, memo: Memo) -> None:
    """Drop measurements of an object; names that it has not are passed over."""
    node = record.at(record.measurements)
    if not isinstance(node, Instance) or names.isdisjoint(present := memo.measurements(node)):
        return
    kept: Instance | None = None
    if not names.issuperset(present):
        kept = node
        if node.class_name == schema.DEFAULT_LIST:
            elements = _elements(node)
            _set_elements(node, [e for e in elements if read_measurement(e)[0] not in names])
        else:
            rest = {name: value for name, value in present.items() if name not in names}
            kept = _make_numeric_list(node.class_name, rest, vocabulary)
    _put(record, kept)


def set_measurements(record: Record, values: Mapping[str, float], vocabulary: Vocabulary, memo: Memo) -> None:
    """Set measurements of an object: replaced where a name exists, appended where not."""
    check_names(values)
    node = record.at(record.measurements)
    if not values:
        return
    if not isinstance(node, Instance):
        make = make_default_list if record.type in _ANNOTATION_TYPES else make_float_list
        _put(record, make(values, vocabulary))
    elif node.class_name == schema.DEFAULT_LIST:
        _set_in_default_list(node, values, vocabulary)
    else:
        present = memo.measurements(node)
        merged = _make_numeric_list(node.class_name, {**present, **values}, vocabulary)
        if values.keys() <= present.keys():  # the names stay the very ones that the list has
            node.set("values", merged.get("values"))  # type: ignore[arg-type]
        else:
            _put(record, merged)


def _set_in_default_list(node: Instance, values: Mapping[str, float], vocabulary: Vocabulary) -> None:
    elements = _elements(node)
    missing = dict(values)
    for element in elements:
        name, _ = read_measurement(element)
        if name in values and isinstance(element, Instance):
            element.set("value", float(values[name]))
            missing.pop(name, None)
    if missing:
        _set_elements(node, elements + [_make_measurement(n, v, vocabulary) for n, v in missing.items()])


def _elements(node: Instance) -> list[Value]:
    return list(list_values(node.get("list")))


def _set_elements(node: Instance, elements: list[Value]) -> None:
    array_list = node.get("list")
    if not isinstance(array_list, Instance) or array_list.class_name != schema.ARRAY_LIST:
        raise DataFileError("the measurements of an object are in a list of a class that is not known")
    set_list(array_list, elements)


def _put(record: Record, node: Item) -> None:
    if record.measurements is None:
        raise DataFileError("an object has no place for measurements")
    record.content[record.measurements] = node
