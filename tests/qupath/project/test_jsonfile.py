"""JSON in QuPath's style: what is read is written back, and what is absurd is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2qp.errors import ProjectFormatError
from her2qp.qupath.jsonfile import parse_json, read_bounded, to_gson

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_any_value_survives(value: object) -> None:
    assert json.loads(to_gson(value)) == value
    assert to_gson(parse_json(to_gson(value), where="x")) == to_gson(value)


def test_numbers_keep_the_digits_java_wrote() -> None:
    text = b'{\n  "a": 1.0E-5,\n  "b": 2.0E10,\n  "c": 0.50,\n  "d": 12345678901234567890\n}'
    assert to_gson(parse_json(text, where="x")) == text


def test_html_is_escaped_as_gson_does() -> None:
    assert to_gson({"stain": "H&E <a='b'>"}) == b'{\n  "stain": "H\\u0026E \\u003ca\\u003d\\u0027b\\u0027\\u003e"\n}'


def test_half_a_surrogate_pair_is_kept_as_an_escape() -> None:
    assert to_gson(parse_json(b'"\\ud83d"', where="x")) == b'"\\ud83d"'


def test_a_byte_order_mark_is_passed_over_as_gson_does() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}', where="x") == {"a": 1}


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 50_000, b"9" * 10_000, b'{"a": 1} x'],
    ids=["empty", "cut", "not utf-8", "deep list", "deep object", "huge number", "more after the end"],
)
def test_what_is_not_json_is_a_typed_error(data: bytes) -> None:
    with pytest.raises(ProjectFormatError):
        parse_json(data, where="x")


def test_a_file_larger_than_any_of_qupath_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "project.qpproj"
    path.write_bytes(b" " * 1001)
    assert len(read_bounded(path, max_bytes=1001)) == 1001
    with pytest.raises(ProjectFormatError, match="larger"):
        read_bounded(path, max_bytes=1000)
