"""Classes shared by the streams of many files: found again wherever they stand, and never taken for one another."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2qp.errors import DataFileError
from her2qp.qupath.java import (
    ClassData,
    ClassDesc,
    Field,
    Instance,
    Item,
    JavaString,
    KnownClasses,
    read_stream,
    write_stream,
)
from her2qp.qupath.java.knownclasses import MAX_CLASSES

TEXT, NUMBER = JavaString.of("Ljava/lang/String;"), JavaString.of("Ljava/lang/Number;")
SHAPE = ClassDesc("Shape", 1, 0x02, (Field("I", "id"), Field("L", "name", TEXT)))
CIRCLE = ClassDesc("Circle", 2, 0x02, (Field("L", "text", TEXT), Field("L", "value", NUMBER)), SHAPE)
SQUARE = ClassDesc("Square", 3, 0x02, (Field("D", "side"), Field("L", "value", NUMBER)), SHAPE)
TWINS = ClassDesc("Twins", 4, 0x02, (Field("L", "one", NUMBER), Field("L", "other", NUMBER)))
CLASSES = (SHAPE, CIRCLE, SQUARE, TWINS)


def make(desc: ClassDesc) -> Instance:
    parts = [
        ClassData(one, one.primitives.pack(*[0] * len(one.primitive_names)), [None] * len(one.references))
        for one in desc.lineage
    ]
    return Instance(desc, parts)


def classes_in(raw: bytes, known: KnownClasses) -> list[ClassDesc]:
    stream = read_stream(raw, classes=known)
    assert write_stream(stream.contents) == raw
    return stream.classes


@given(st.lists(st.lists(st.sampled_from((*CLASSES, TEXT, NUMBER, JavaString.of("x"))), max_size=6), max_size=6))
def test_whatever_was_read_before_a_stream_is_kept_byte_for_byte(streams: list[list[ClassDesc | JavaString]]) -> None:
    known = KnownClasses()
    for made_of in streams:
        contents: list[Item] = [make(one) if isinstance(one, ClassDesc) else one for one in made_of]
        found = classes_in(write_stream(contents), known)
        alone = read_stream(write_stream(contents)).classes
        assert [str(one) for one in found] == [str(one) for one in alone]


def test_a_class_is_shared_where_its_handles_are_others() -> None:
    known = KnownClasses()
    first = classes_in(write_stream([make(CIRCLE), make(SQUARE)]), known)
    later = classes_in(write_stream([JavaString.of("before"), make(CIRCLE), JavaString.of("y"), make(SQUARE)]), known)
    assert all(one is other for one, other in zip(first, later, strict=True))


def test_a_class_that_a_stream_describes_twice_is_two() -> None:
    raw = write_stream([make(SHAPE), make(dataclasses.replace(SHAPE, fields=SHAPE.fields))])
    known = KnownClasses()
    for _ in range(3):
        one, other = classes_in(raw, known)
        assert one is not other


def test_a_class_with_other_fields_under_the_same_name_is_another() -> None:
    known = KnownClasses()
    changed = dataclasses.replace(SHAPE, fields=(Field("J", "id"), *SHAPE.fields[1:]))
    for desc in (SHAPE, changed, SHAPE):
        assert [str(one) for one in classes_in(write_stream([make(desc)]), known)] == [str(desc)]


def test_a_class_whose_parent_is_another_is_another() -> None:
    known = KnownClasses()
    changed = dataclasses.replace(SHAPE, uid=9)
    for parent in (SHAPE, changed, SHAPE):
        desc = dataclasses.replace(CIRCLE, parent=parent)
        child, above = classes_in(write_stream([make(desc)]), known)
        assert (child.parent, above.uid) == (above, parent.uid)


def test_a_known_class_that_is_cut_off_is_refused_as_any_other() -> None:
    raw = write_stream([make(CIRCLE)])
    known = KnownClasses()
    classes_in(raw, known)
    for size in range(5, len(raw)):
        with pytest.raises(DataFileError) as caught:
            read_stream(raw[:size], classes=known)
        with pytest.raises(DataFileError) as expected:
            read_stream(raw[:size])
        assert str(caught.value) == str(expected.value)


def test_neither_many_classes_nor_large_ones_fill_the_memory() -> None:
    known = KnownClasses()
    for start in range(0, 4 * MAX_CLASSES, 100):
        classes_in(write_stream([make(ClassDesc(f"C{n}", n, 0x02)) for n in range(start, start + 100)]), known)
        assert len(known) <= MAX_CLASSES + 16
    before = len(known)
    large = ClassDesc("Large", 1, 0x02, tuple(Field("I", f"field {n}") for n in range(10_000)))
    below_large = ClassDesc("Small", 1, 0x02, parent=large)
    wordy = ClassDesc("Wordy", 1, 0x02, (Field("L", "a", JavaString.of("L" * 60_000)),))
    for desc in (large, below_large, wordy):
        classes_in(write_stream([make(desc)]), known)
    assert len(known) == before
