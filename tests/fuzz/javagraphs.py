"""Changes to the graph of a Java stream: every length and handle still right, the objects not what they should be."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from random import Random

from her2qp.qupath.java import (
    ClassDesc,
    EnumConstant,
    Instance,
    JavaArray,
    JavaString,
    Stream,
    expand_runs,
    read_stream,
    write_stream,
)
from her2qp.qupath.java.graph import walk

_HOSTILE_TEXT = (b"", b"x" * 70_000, b"\xff\xfe", b"\xed\xa0\x80", b"a:b", b"\n", b"EOF", b"{}", b"-", b"0-0-0-0-0")
_NUMBERS = (b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x80" + b"\0" * 7, b"\x7f\xf8" + b"\0" * 6)


class Graph:
    """The parts of a stream that can be changed."""

    def __init__(self, data: bytes) -> None:
        self.stream: Stream = read_stream(data)
        expand_runs(self.stream.contents)
        self.instances: list[Instance] = []
        for instance in walk(self.stream.contents):
            for part in instance.parts:
                expand_runs(part.content or [])
            self.instances.append(instance)
        self.values = [value for instance in self.instances for value in _values(instance)]
        self.nodes = [value for value in self.values if value is not None] or self.instances

    def to_bytes(self) -> bytes:
        """The stream as it is now."""
        return write_stream(self.stream.contents)


def _values(instance: Instance) -> list[object]:
    within = [value for part in instance.parts for value in (*part.references, *(part.content or ()))]
    return [value for value in within if not isinstance(value, bytes)]


def mutate_graph(random: Random, data: bytes) -> bytes:
    """A stream with one to three changes to its objects; `data` where they cannot be written down."""
    graph = Graph(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice(_CHANGES)(random, graph)
    try:
        return graph.to_bytes()
    except (struct.error, TypeError):
        return data


def _change_reference(random: Random, graph: Graph) -> None:
    part = random.choice(random.choice(graph.instances).parts)
    if part.references:
        part.references[random.randrange(len(part.references))] = random.choice([None, random.choice(graph.nodes)])


def _change_content(random: Random, graph: Graph) -> None:
    content = random.choice(random.choice(graph.instances).parts).content
    if not content:
        return
    place = random.randrange(len(content))
    match random.randrange(4):
        case 0:
            del content[place]
        case 1:
            content.insert(place, content[random.randrange(len(content))])
        case 2:
            content[place] = random.choice([None, random.choice(graph.nodes)])
        case _:
            content[place], content[-1] = content[-1], content[place]


def _change_numbers(random: Random, graph: Graph) -> None:
    part = random.choice(random.choice(graph.instances).parts)
    blocks = [i for i, item in enumerate(part.content or ()) if isinstance(item, bytes) and item]
    number = random.choice(_NUMBERS)[: random.choice((1, 4, 8))]
    if blocks and part.content is not None:
        place = random.choice(blocks)
        block = part.content[place]
        start = random.randrange(len(block))
        part.content[place] = random.choice((block[:start] + number + block[start + len(number) :], block + number))
    elif part.primitives:
        start = random.randrange(len(part.primitives))
        part.primitives = (part.primitives[:start] + number + part.primitives)[: len(part.primitives)]


def _change_text(random: Random, graph: Graph) -> None:
    strings = [node for node in graph.nodes if isinstance(node, JavaString)]
    strings += [node.name for node in graph.nodes if isinstance(node, EnumConstant)]
    if strings:
        random.choice(strings).raw = random.choice((*_HOSTILE_TEXT, random.choice(strings).raw))


def _change_array(random: Random, graph: Graph) -> None:
    arrays = [node for node in graph.nodes if isinstance(node, JavaArray)]
    if not arrays:
        return
    array = random.choice(arrays)
    if isinstance(array.elements, bytes):
        size = array.desc.element_size or 1
        number = random.choice(_NUMBERS)[:size]
        elements = array.elements
        kept = elements[: size * random.randint(0, len(elements) // size)]
        array.elements = random.choice((kept, elements + number * random.choice((1, 50)), kept + number))
    elif array.elements:
        array.elements[random.randrange(len(array.elements))] = random.choice([None, random.choice(graph.nodes)])
    else:
        array.elements.append(None)


def _change_class(random: Random, graph: Graph) -> None:
    instance = random.choice(graph.instances)
    other = random.choice(graph.instances).desc
    if random.random() < 0.5:
        instance.desc = other
        return
    desc = random.choice(instance.desc.lineage)
    for name, value in vars(_other_class(random, desc, other)).items():
        setattr(desc, name, value)


def _other_class(random: Random, desc: ClassDesc, other: ClassDesc) -> ClassDesc:
    match random.randrange(5):
        case 0:
            return dataclasses.replace(desc, name=other.name)
        case 1:
            return dataclasses.replace(desc, uid=random.choice((0, 1, 2, -1)))
        case 2:
            return dataclasses.replace(desc, flags=random.choice((0, 0x02, 0x03, 0x04, 0x0C, 0x12, 0xFF)))
        case 3:
            return dataclasses.replace(desc, fields=other.fields)
        case _:
            return dataclasses.replace(desc, name=random.choice(("java.util.Arrays$ArrayList", "[F", "[[", "")))


def _share(random: Random, graph: Graph) -> None:
    """Let an object have what belongs to another."""
    one, other = (random.choice(graph.instances) for _ in range(2))
    if one.desc is other.desc:
        one.parts = other.parts


_CHANGES: tuple[Callable[[Random, Graph], None], ...] = (
    _change_reference,
    _change_reference,
    _change_content,
    _change_content,
    _change_numbers,
    _change_text,
    _change_array,
    _change_class,
    _share,
)
