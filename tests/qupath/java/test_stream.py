"""The codec by itself: identity, depth, refusals, runs."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2qp.errors import DataFileError, UnsupportedDataError
from her2qp.qupath.java import (
    ClassData,
    ClassDesc,
    Field,
    Instance,
    Item,
    JavaArray,
    JavaString,
    Run,
    expand_runs,
    mutf8,
    read_stream,
    write_stream,
)

MAGIC = b"\xac\xed\x00\x05"
OPAQUE = ClassDesc("Opaque", 1, 0x0C)
POINT = ClassDesc("Point", 1, 0x02, (Field("D", "x"), Field("L", "name", JavaString.of("LString;"))))


def opaque(*content: Item) -> Instance:
    return Instance(OPAQUE, [ClassData(OPAQUE, content=list(content))])


def point(x: float, name: JavaString | None) -> Instance:
    return Instance(POINT, [ClassData(POINT, struct.pack(">d", x), [name])])


def rewritten(contents: list[Item]) -> list[Item]:
    raw = write_stream(contents)
    again = read_stream(raw).contents
    assert write_stream(again) == raw
    return again


@given(st.text())
def test_modified_utf8_keeps_any_text(text: str) -> None:
    raw = mutf8.encode(text)
    assert mutf8.decode(raw) == text
    assert b"\x00" not in raw
    assert all(byte < 0xF0 for byte in raw)


def test_strings_of_equal_text_stay_distinct_and_shared_ones_shared() -> None:
    one, other = JavaString.of("same"), JavaString.of("same")
    a, b, c = rewritten([one, other, one])
    assert a is c
    assert a is not b
    assert a.text == b.text == "same"


@pytest.mark.parametrize("size", [0, 1, 255, 256, 1024, 1025, 5000])
def test_blocks_are_joined_and_split_as_java_does(size: int) -> None:
    data = bytes(range(256)) * 20
    (found,) = rewritten([opaque(data[:size])])
    assert found.content == ([data[:size]] if size else [])


def test_any_depth() -> None:
    node = opaque()
    for _ in range(20_000):
        node = opaque(b"x", node)
    (found,) = rewritten([node])
    depth = 0
    while len(found.content) > 1:
        found, depth = found.content[1], depth + 1
    assert depth == 20_000


def test_a_cycle_is_kept() -> None:
    node = opaque()
    node.content.append(node)
    (found,) = rewritten([node])
    assert found.content == [found]


def test_rows_of_a_run_are_the_objects() -> None:
    names = [JavaString.of(name) for name in "abc"]
    container = opaque(*names, *(point(i / 4, names[i * i % 3]) for i in range(1000)))
    (found,) = rewritten([container])
    runs = [item for item in found.content if isinstance(item, Run)]
    assert sum(map(len, runs)) > 950
    points = expand_runs(found.content)[3:]
    assert [p.get("x") for p in points] == [i / 4 for i in range(1000)]
    assert [p.get("name").text for p in points] == ["abc"[i * i % 3] for i in range(1000)]


def test_a_run_moves_to_another_graph() -> None:
    name = JavaString.of("name")
    (found,) = rewritten([opaque(name, *(point(i, name) for i in range(100)))])
    run = next(item for item in found.content if isinstance(item, Run))
    (moved,) = rewritten([opaque(JavaString.of("something before"), run.take(slice(10, 50)))])
    points = expand_runs(moved.content)[1:]
    assert [p.get("x") for p in points] == [p.get("x") for p in run.take(slice(10, 50)).instances()]
    assert len({id(p.get("name")) for p in points}) == 1


def test_a_run_whose_rows_differ_in_structure_ends_there() -> None:
    name, other = JavaString.of("name"), JavaArray(ClassDesc("[I", 1, 2), b"\x00\x00\x00\x01")
    items = [point(i, None if i == 60 else name) for i in range(100)]
    (found,) = rewritten([opaque(name, other, *items)])
    assert [p.get("name") is None for p in expand_runs(found.content)[2:]] == [i == 60 for i in range(100)]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", DataFileError, "not a Java object stream"),
        (b"PK\x03\x04", DataFileError, "not a Java object stream"),
        (MAGIC + b"\x79", UnsupportedDataError, "reset"),
        (MAGIC + b"\x7b", UnsupportedDataError, "exception"),
        (MAGIC + b"\x7d", UnsupportedDataError, "proxy"),
        (MAGIC + b"\x10", DataFileError, "no object begins with 0x10 .at byte 4."),
        (MAGIC + b"\x71\x00\x7e\x00\x00", DataFileError, "refers to object 0x7e0000"),
        (MAGIC + b"\x74\xff\xffab", DataFileError, "65535 more bytes expected, 2 left"),
        (MAGIC + b"\x7c" + b"\x7f" * 8, DataFileError, "ends early"),
        (MAGIC + b"\x7a\xff\xff\xff\xff", DataFileError, "negative length"),
        (
            MAGIC + b"\x75\x72\x00\x02[I" + bytes(8) + b"\x02\x00\x00\x78\x70\x7f\xff\xff\xff",
            DataFileError,
            "ends early",
        ),
        (MAGIC + b"\x75\x72\x00\x02[L" + bytes(8) + b"\x02\x00\x00\x78\x70\x7f\xff\xff\xff", DataFileError, "not fit"),
        (MAGIC + b"\x73\x72\x00\x01E" + bytes(8) + b"\x04\x00\x00\x78\x70\x78", UnsupportedDataError, "version 1"),
        (MAGIC + b"\x73\x72\x00\x01E" + bytes(8) + b"\x02\x00\x00\x78\x71\x00\x7e\x00\x00", DataFileError, "is none"),
    ],
)
def test_refusals_name_the_place(data: bytes, error: type[DataFileError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        read_stream(data, where="here")
    assert str(caught.value).startswith("here: ")
