"""Runs of records that differ in length are the very objects, whatever is done with them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qupath.java.test_stream import opaque

from her2qp.errors import DataFileError
from her2qp.qupath.java import (
    ClassData,
    ClassDesc,
    Field,
    Instance,
    Item,
    JavaArray,
    JavaString,
    MixedRun,
    UniformRun,
    expand_runs,
    read_stream,
    write_stream,
)

FLOATS = ClassDesc("[F", 1, 2)
FLOATS_TYPE = JavaString.of("[F")
OUTLINE = ClassDesc(
    "Outline",
    1,
    0x02,
    (
        Field("I", "n"),
        Field("L", "name", JavaString.of("LString;")),
        Field("[", "x", FLOATS_TYPE),
        Field("[", "y", FLOATS_TYPE),
    ),
)
SHARED = [JavaString.of(text) for text in ("first", "second", "third")]


def outline(n: int, name: JavaString | None, x: int, y: int) -> Instance:
    """A record with two arrays of `x` and `y` numbers; none for a negative one."""
    arrays = [None if size < 0 else JavaArray(FLOATS, struct.pack(f">{size}f", *range(size))) for size in (x, y)]
    return Instance(OUTLINE, [ClassData(OUTLINE, struct.pack(">i", n), [name, *arrays])])


def container(items: list[Item]) -> bytes:
    """A stream with some records after what they share."""
    return write_stream([opaque(*SHARED, outline(0, None, 1, 1), *items), JavaString.of("end")])


def read_content(raw: bytes) -> list[Item]:
    first = read_stream(raw).contents[0]
    assert isinstance(first, Instance)
    return first.content


names = st.sampled_from([None, *SHARED]) | st.text(max_size=9).map(JavaString.of)
sizes = st.integers(-1, 12)
records = st.lists(st.builds(outline, st.integers(-(2**31), 2**31 - 1), names, sizes, sizes), min_size=9, max_size=99)


def rows_in_runs(content: list[Item]) -> int:
    return sum(len(item) for item in content if isinstance(item, MixedRun))


def test_records_of_any_length_are_left_as_they_are() -> None:
    raw = container([outline(i, SHARED[i % 3], 3 + i * i % 50, 1 + i % 7) for i in range(5000)])
    assert rows_in_runs(read_content(raw)) > 4980
    assert write_stream(read_stream(raw).contents) == raw


def test_records_of_one_length_stay_rows_of_one_length_after_the_first_mention_of_what_they_share() -> None:
    """As QuPath writes tiles: a class stands in the first tile that has it, and the next ones refer to it."""
    classes = [JavaString.of(f"class {number}") for number in range(8)]
    items: list[Item] = [outline(0, path_class, 3, 3) for path_class in classes for _ in range(2)]
    items += [outline(i, classes[i % 8], 3, 3) for i in range(500)]
    raw = container(items)
    assert sum(len(item) for item in read_content(raw) if isinstance(item, UniformRun)) > 490
    assert write_stream(read_stream(raw).contents) == raw


def test_a_run_goes_on_after_one_record_where_another_is_between() -> None:
    pieces = [outline(i, SHARED[i % 3], 3, 3) for i in range(30)]
    raw = container([*pieces[:20], outline(99, JavaString.of("new"), 3, 3), *pieces[20:]])
    content = read_content(raw)
    assert [len(item) for item in content if isinstance(item, UniformRun)] == [19, 10]
    numbers = [item.get("n") for item in expand_runs(content) if isinstance(item, Instance)]
    assert numbers == [0, *range(20), 99, *range(20, 30)]
    assert write_stream(read_stream(raw).contents) == raw


@settings(max_examples=50)
@given(records)
def test_the_stream_is_kept_byte_for_byte_and_the_rows_are_its_objects(items: list[Item]) -> None:
    raw = container(items)
    assert write_stream(read_stream(raw).contents) == raw
    contents = read_stream(raw).contents
    assert isinstance(contents[0], Instance)
    expand_runs(contents[0].content)
    assert write_stream(contents) == raw


@settings(max_examples=50)
@given(records, st.data())
def test_rows_moved_to_another_graph_are_the_objects_moved(items: list[Item], data: st.DataObject) -> None:
    raw = container(items * 3)
    as_runs, as_objects = read_content(raw), expand_runs(read_content(raw))
    kept = data.draw(st.lists(st.booleans(), min_size=len(as_objects), max_size=len(as_objects)))
    taken: list[Item] = []
    start = 0
    for item in as_runs:
        n = len(item) if isinstance(item, MixedRun) else 1
        if isinstance(item, MixedRun):
            taken.append(item.take(np.array(kept[start : start + n])))
        elif kept[start]:
            taken.append(item)
        start += n
    before = JavaString.of("before")
    expected = [item for item, keep in zip(as_objects, kept, strict=True) if keep]
    assert write_stream([before, opaque(*taken)]) == write_stream([before, opaque(*expected)])


def test_a_row_that_something_refers_to_leaves_the_run() -> None:
    items = [outline(i, None, i % 9 + 1, 2) for i in range(500)]
    raw = write_stream([opaque(*items), items[250], items[250].get("x")])
    contents = read_stream(raw).contents
    assert write_stream(contents) == raw
    assert isinstance(contents[0], Instance)
    objects = expand_runs(contents[0].content)
    assert contents[1] is objects[250]
    assert contents[2] is contents[1].get("x")  # type: ignore[union-attr]


def test_a_record_that_holds_the_beginning_of_another_does_not_mislead() -> None:
    """The bytes with which records begin occur within strings too."""
    raw = container([outline(i, None, 4, 4) for i in range(40)])
    head = raw[raw.rindex(b"sq\x00~") :][:6]
    items: list[Item] = [outline(i, JavaString(head * (i % 4)), i % 5 + 1, 2) for i in range(400)]
    raw = container(items)
    assert rows_in_runs(read_content(raw)) > 300
    assert write_stream(read_stream(raw).contents) == raw


@settings(max_examples=200)
@given(st.data())
def test_damage_is_refused_or_kept(data: st.DataObject) -> None:
    """A damaged byte among records that are not built ends in a refusal, or is what it would be in objects."""
    raw = bytearray(container([outline(i, SHARED[i % 3], 3 + i * i % 20, 2) for i in range(60)]))
    place = data.draw(st.integers(len(raw) // 3, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        contents = read_stream(bytes(raw)).contents
    except DataFileError:
        return
    assert write_stream(contents) == raw


@pytest.mark.parametrize("n_missing", [1, 40, 400])
def test_a_stream_that_ends_within_a_run_is_refused(n_missing: int) -> None:
    raw = container([outline(i, None, i % 9 + 1, 2) for i in range(500)])
    with pytest.raises(DataFileError, match="ends early"):
        read_stream(raw[: -len("end") - 5 - n_missing])
