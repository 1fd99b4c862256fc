"""`doctor --repair` is killed at every call that changes the project: nothing is lost, and the next repair ends it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from faults.interposer import Fault
from support import content_digests

import her2qp

if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)


def test_a_repair_that_is_killed_anywhere_loses_nothing_and_is_ended_by_the_next(example: Path, tmp_path: Path) -> None:
    from faults.harness import in_child

    torn = crashed(example / "project")
    before = content_digests(torn)
    copy = tmp_path / "copy"

    def repair() -> list[str]:
        return [finding.detail for finding in her2qp.doctor(copy, repair=True) if not finding.ok]

    shutil.copytree(torn, copy)
    calls = in_child(repair, copy).calls
    repaired = annotations(copy)
    points = [at for at, call in enumerate(calls) if call.changes]
    assert len(points) > 5
    for at in points:
        shutil.rmtree(copy)
        shutil.copytree(torn, copy)
        assert in_child(repair, copy, Fault(at)).how == "killed"
        assert before <= content_digests(copy), f"killed at {calls[at]}, the content of a file is gone"
        assert in_child(repair, copy).how == "done"
        assert before <= content_digests(copy), f"killed at {calls[at]}, the next repair lost the content of a file"
        assert annotations(copy) == repaired


def crashed(project: Path) -> Path:
    """A project in which QuPath died while it saved an image and the project: half files, and the states before."""
    for path, earlier in (("data/1/data.qpdata", ".bkp"), ("project.qpproj", ".backup")):
        file = project / path
        data = file.read_bytes()
        file.with_name(file.name + earlier).write_bytes(data)
        file.write_bytes(data[: len(data) // 2])
    return project


def annotations(project: Path) -> list[str]:
    with her2qp.open_project(project, backend="native") as opened:
        return [str(annotation.name) for annotation in opened.images[0].annotations]
