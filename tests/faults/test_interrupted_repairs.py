"""`doctor --repair` and `undo` are killed: nothing is lost, and the next one ends what they began."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from faults.interposer import Fault
from support import content_digests

import her2qp
from her2qp.errors import RunError
from her2qp.qupath.edits import HierarchyEdit

_MANIFEST = r"her2qp/backups/[^/]+/manifest\.json"

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


def test_an_undo_that_is_stopped_after_its_backup_is_gone_is_ended_by_the_next(example: Path, tmp_path: Path) -> None:
    from faults.harness import in_child

    project, copy = example / "project", tmp_path / "copy"
    before = annotations(project)
    with her2qp.open_project(project, "r+", backend="native") as opened:
        (tumor,) = opened.images[0].annotations
        opened.images[0].edit(HierarchyEdit(set_measurements={tumor.id: {"by a run": 1.0}}))
        opened.save()
    shutil.copytree(project, copy)

    def undo() -> list[str]:
        her2qp.undo(copy)
        return []

    calls = in_child(undo, copy).calls
    gone = next(at for at, c in enumerate(calls) if c.name == "unlink" and re.fullmatch(_MANIFEST, c.path))
    shutil.rmtree(copy)
    shutil.copytree(project, copy)
    assert in_child(undo, copy, Fault(gone + 1)).how == "killed"
    assert her2qp.undo(copy).files == ("data/1/data.qpdata",)
    assert annotations(copy) == before and all(finding.ok for finding in her2qp.doctor(copy))
    with pytest.raises(RunError, match="no run to undo"):
        her2qp.undo(copy)
