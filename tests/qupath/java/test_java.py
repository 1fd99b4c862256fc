"""Against the JDK itself, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from her2qp.qupath.java import Instance, Run, read_stream, write_stream


@pytest.fixture(scope="module")
def written_by_java(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    if shutil.which("java") is None:
        pytest.skip("no Java here")
    file = tmp_path_factory.mktemp("java") / "stream"
    source = Path(__file__).with_name("WriteStream.java")
    done = subprocess.run(["java", str(source), str(file)], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        pytest.skip(f"the Java here runs no source files: {done.stderr.strip()[-200:]}")
    return file.read_bytes()


def test_a_stream_of_the_jdk_is_rewritten_byte_for_byte(written_by_java: bytes) -> None:
    assert write_stream(read_stream(written_by_java).contents) == written_by_java


def test_values_are_what_java_wrote(written_by_java: bytes) -> None:
    header, text, long_text, many, _some, *_ = read_stream(written_by_java).contents
    assert header == b"\x00\x06header"
    assert text.text == "text ä 中 \U0001f52c \x00 end"
    assert long_text.text == "x" * 70000
    objects = [d for i in many.content[1:] for d in (i.instances() if isinstance(i, Run) else [i])]
    assert [obj.get("number") for obj in objects] == list(range(300))
    assert [obj.get("label").text for obj in objects[:4]] == ["one", "two", "three", "one"]
    assert [obj.get("flag") for obj in objects[:2]] == [True, False]
    assert objects[299].get("value") == 299 / 8


def test_what_something_refers_to_is_no_row_of_a_run(written_by_java: bytes) -> None:
    _, _, _, many, some, *_ = read_stream(written_by_java).contents
    assert any(isinstance(item, Run) and len(item) > 50 for item in many.content)
    first, second, whole = (item for item in some.content if isinstance(item, Instance))
    assert first.get("number") == 150
    assert first in many.content
    assert second in many.content
    assert whole is many
