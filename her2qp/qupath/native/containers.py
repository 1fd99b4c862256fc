"""Java's collections in the graph: unwrap lists and maps, make and change array lists and hash maps."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from her2qp.errors import DataFileError
from her2qp.qupath.java import Instance, JavaArray, JavaString, Value, expand_runs
from her2qp.qupath.native import schema

_WRAPPED_IN = {
    "java.util.Collections$UnmodifiableCollection": "c",
    "java.util.Collections$UnmodifiableList": "list",
    "java.util.Collections$UnmodifiableRandomAccessList": "list",
    "java.util.Collections$SynchronizedList": "list",
    "java.util.Collections$SynchronizedRandomAccessList": "list",
    "java.util.Arrays$ArrayList": "a",
}

_DEEPEST_WRAPPING = 8


def list_values(value: object) -> list[Value]:
    """Elements of a list, whatever it is wrapped in.

    Raises
    ------
    DataFileError
        It is no list that is known.
    """
    for _ in range(_DEEPEST_WRAPPING):
        if isinstance(value, JavaArray) and isinstance(value.elements, list):
            return value.elements
        if not isinstance(value, Instance):
            break
        if value.class_name in _WRAPPED_IN:
            value = value.get(_WRAPPED_IN[value.class_name])
        elif value.class_name in (schema.ARRAY_LIST, schema.COLLECTION_SERIALIZER):
            return content_values(value)
        else:
            break
    name = value.class_name if isinstance(value, Instance) else type(value).__name__
    raise DataFileError(f"a list is of a class that is not known: {name}")


def content_values(instance: Instance) -> list[Value]:
    """The objects in the annotation of a collection, without the numbers before them."""
    content = instance.content
    if instance.class_name == schema.LINKED_HASH_MAP:
        content = instance.parts[0].content or []
    return [item for item in expand_runs(content) if not isinstance(item, bytes)]  # type: ignore[misc]


def map_items(instance: Instance) -> list[tuple[Value, Value]]:
    """Keys and values of a (linked) hash map.

    Raises
    ------
    DataFileError
        It is no such map, or a key has no value.
    """
    if instance.class_name not in (schema.HASH_MAP, schema.LINKED_HASH_MAP):
        raise DataFileError(f"a map is of a class that is not known: {instance.class_name}")
    part = instance.parts[0]
    values = [item for item in expand_runs(part.content or []) if not isinstance(item, bytes)]
    if len(values) % 2:
        raise DataFileError("a map has a key without a value")
    return list(zip(values[::2], values[1::2], strict=True))  # type: ignore[arg-type]


def list_texts(value: object) -> tuple[str, ...]:
    """Elements of a list of strings.

    Raises
    ------
    DataFileError
        It is no list of strings.
    """
    texts = []
    for element in list_values(value):
        if not isinstance(element, JavaString):
            raise DataFileError("a list of names has something else in it")
        texts.append(element.text)
    return tuple(texts)


def set_list(array_list: Instance, values: Sequence[Value]) -> None:
    """Replace the elements of an ``ArrayList``."""
    array_list.set("size", len(values))
    array_list.content[:] = [struct.pack(">i", len(values)), *values]


def set_map(hash_map: Instance, items: Sequence[tuple[Value, Value]]) -> None:
    """Replace the entries of a (linked) hash map; its capacity stays if they fit."""
    content = hash_map.parts[0].content
    if content is None or not content or not isinstance(content[0], bytes) or len(content[0]) != 8:
        raise DataFileError("a map does not begin with its size")
    (buckets,) = struct.unpack_from(">i", content[0])
    while buckets * 3 < len(items) * 4:
        buckets = max(1, buckets * 2)
    content[:] = [struct.pack(">ii", buckets, len(items)), *(value for item in items for value in item)]


def new_array_list(values: Sequence[Value], make: Callable[[str], Instance]) -> Instance:
    """An ``ArrayList``; `make` makes empty instances by class name."""
    array_list = make(schema.ARRAY_LIST)
    set_list(array_list, values)
    return array_list


def new_hash_map(items: Sequence[tuple[Value, Value]], make: Callable[[str], Instance]) -> Instance:
    """A ``HashMap`` with Java's default load factor."""
    hash_map = make(schema.HASH_MAP)
    buckets = 16
    while buckets * 3 < len(items) * 4:
        buckets *= 2
    hash_map.set("loadFactor", 0.75)
    hash_map.set("threshold", buckets * 3 // 4)
    hash_map.content[:] = [struct.pack(">ii", buckets, 0)]
    set_map(hash_map, items)
    return hash_map
