"""Formats newer than known are refused by name on the command line, and the project stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli.test_bad_input import edit_json, qpdata, qpproj
from support import contents, run

from her2qp.qupath.java import Stream, read_stream, write_stream
from her2qp.qupath.java.graph import ClassDesc, walk
from her2qp.qupath.native import schema


def rewrite(example: Path, change: Callable[[Stream], object]) -> None:
    """Change the objects of the data file."""
    stream = read_stream(qpdata(example).read_bytes())
    change(stream)
    qpdata(example).write_bytes(write_stream(stream.contents))


def replace(example: Path, old: bytes, new: bytes) -> None:
    data = qpdata(example).read_bytes()
    assert data.count(old) == 1 and len(old) == len(new)
    qpdata(example).write_bytes(data.replace(old, new))


def desc_of(stream: Stream, name: str) -> ClassDesc:
    return next(desc for desc in stream.classes if desc.name == name)


def set_uid(stream: Stream) -> None:
    desc_of(stream, schema.ANNOTATION).uid = 2


def unknown_object(stream: Stream) -> None:
    next(node for node in walk(stream.contents) if node.class_name == schema.ANNOTATION).desc = ClassDesc(
        "qupath.lib.objects.PathHologramObject", 1, schema.EXTERNALIZABLE
    )


def expect_refusal(example: Path, verb: str, code: int, sentence: str) -> None:
    """Run a verb and expect a refusal that changes nothing."""
    before = contents(example)
    done = run(verb, example / "project")
    text = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == code and sentence in text and "Traceback" not in text, text
    assert contents(example) == before


@pytest.mark.parametrize(("verb", "version"), [("score", "0.9.0"), ("inspect", "1.0.0-SNAPSHOT"), ("clear", 3)])
def test_a_project_of_a_newer_qupath(example: Path, verb: str, version: object) -> None:
    edit_json(qpproj(example), lambda document: document.update(version=version))
    expect_refusal(example, verb, 2, f"saved by QuPath {version}, whose files are not known")


def test_a_project_of_the_newest_qupath(example: Path) -> None:
    edit_json(qpproj(example), lambda document: document.update(version="0.8.0-SNAPSHOT"))
    assert run("inspect", example / "project").returncode == 0


def test_a_newer_version_of_the_data_file(example: Path) -> None:
    replace(example, b"Data file version 3", b"Data file version 4")
    expect_refusal(example, "clear", 1, "version 4 of the format; 3 is the newest that is known")


def test_a_newer_version_of_the_data(example: Path) -> None:
    replace(example, b'"dataVersion":3', b'"dataVersion":5')
    expect_refusal(example, "clear", 1, "version 5 of the format")


def test_a_newer_version_of_a_class(example: Path) -> None:
    rewrite(example, set_uid)
    expect_refusal(example, "clear", 1, "PathAnnotationObject is not the one that is known of QuPath 0.3 to 0.7")


def test_an_object_of_a_class_that_is_not_known(example: Path) -> None:
    rewrite(example, unknown_object)
    expect_refusal(example, "clear", 1, "PathHologramObject")
