"""What QuPath and paquo get wrong never reaches a user: a real QuPath runs in each of these tests."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest

from her2qp.errors import DataFileError, QuPathProcessError, SlideNotFoundError
from her2qp.qupath import open_project
from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.paquo.store import PaquoStore
from her2qp.qupath.project import Project
from tests.qupath.project.conftest import make_tiles

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.usefixtures("qupath_dir"),
    pytest.mark.parametrize("golden", ["0.5.1"], indirect=True),
]


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "her2qp" not in path.parts}


def _queue_tiles(project: Project) -> None:
    entry = project.images[2]
    entry.edit(HierarchyEdit(add_tiles=make_tiles(30, entry.annotations[0].id)))


def test_saving_prints_nothing_and_leaks_no_staging_path(golden: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_project(golden / "project", "r+", "paquo") as project:
        _queue_tiles(project)
        project.save()
        data = project.images[2].data_file.read_bytes()
    assert capfd.readouterr().out == ""
    assert f"{project.path.absolute()}::3".encode() in data
    assert tempfile.gettempdir().encode() + b"/her2qp-" not in data


def test_edits_of_an_image_without_its_slide_are_refused_not_dropped(golden: Path) -> None:
    (golden / "images" / "CMU-1-Small-Region.svs").unlink()
    before = _files(golden / "project")
    with open_project(golden / "project", "r+", "paquo") as project:
        assert len(project.images[2].annotations) == 3
        _queue_tiles(project)
        with pytest.raises(SlideNotFoundError, match="--backend native"):
            project.save()
    assert _files(golden / "project") == before


def test_qupath_never_sees_a_truncated_file(golden: Path) -> None:
    path = golden / "project" / "data" / "3" / "data.qpdata"
    path.write_bytes(path.read_bytes()[:-100])
    before = _files(golden / "project")
    with open_project(golden / "project", "r+", "paquo") as project:
        with pytest.raises(DataFileError):
            project.images[2].annotations  # noqa: B018
        project.images[2].edit(HierarchyEdit(add_tiles=make_tiles(30, None)))
        with pytest.raises(DataFileError):
            project.save()
        assert isinstance(project.store, PaquoStore)
        assert project.store._process._process is None
    assert _files(golden / "project") == before


def test_a_class_keeps_the_colour_that_the_project_gave_it(golden: Path) -> None:
    ours = PathClass(("HER2 2+",), pack_rgb(1, 2, 3))
    with open_project(golden / "project", "r+", "paquo") as project:
        project.path_classes = (*project.path_classes, ours)
        project.save()
        _queue_tiles(project)
        project.save()
        assert [c.color for c in project.images[2].tiles().classes if c == ours] == [ours.color]


@pytest.mark.parametrize(("name", "value"), [("HER2QP_QUPATH_TIME_LIMIT", "0.05"), ("PAQUO_JAVA_OPTS", "-Xbogus")])
def test_a_java_that_hangs_or_does_not_start(
    golden: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    before = _files(golden / "project")
    with open_project(golden / "project", "r+", "native") as project:
        _queue_tiles(project)
        monkeypatch.setenv(name, value)
        project.store = PaquoStore()
        with pytest.raises(QuPathProcessError, match=name):
            project.save()
    assert _files(golden / "project") == before


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_killed_java_changes_nothing_and_the_next_save_works(golden: Path) -> None:
    with open_project(golden / "project", "r+", "paquo") as project:
        _queue_tiles(project)
        assert isinstance(project.store, PaquoStore)
        process = project.store._process._process
        assert process is not None
        before = _files(golden / "project")
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(QuPathProcessError, match="exit status -9"):
            project.save()
        assert _files(golden / "project") == before
        project.save()
        assert len(project.images[2].tiles()) == 30
