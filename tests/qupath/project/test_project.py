"""Opening, making and changing a project that needs no QuPath."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from her2qp.errors import (
    CrashedSaveError,
    DataFileError,
    ImageNotFoundError,
    InvalidEditError,
    ProjectAccessError,
    ProjectChangedError,
    ProjectFormatError,
    ProjectLockedError,
    SlideNotFoundError,
    UnsupportedServerError,
)
from her2qp.qupath import create_project, open_project
from her2qp.qupath.classlist import DEFAULT_CLASSES
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import ImageType
from her2qp.qupath.project import Project
from her2qp.qupath.projectfile import ProjectFile
from her2qp.qupath.store import ImageSource, NativeStore
from her2qp.qupath.transaction import ProjectLock, restore_last
from tests.qupath.project.conftest import HER2_2, Tree, make_tiles, rectangle

_DATA = "data/1/data.qpdata"


def _add_tiles(folder: Path, n: int = 5) -> None:
    with open_project(folder, "r+", "native") as project:
        entry = project.images[0]
        entry.edit(HierarchyEdit(add_tiles=make_tiles(n, entry.annotations[0].id)))
        entry.metadata = {**entry.metadata, "HER2 predicted": "2+"}
        entry.save()


def test_a_new_project_says_what_qupath_would(study: Path) -> None:
    document = json.loads((study / "project.qpproj").read_bytes())
    assert list(document) == ["version", "createTimestamp", "modifyTimestamp", "uri", "lastID", "images"]
    assert document["lastID"] == 2
    assert list(document["images"][0]) == ["serverBuilder", "entryID", "randomizedName", "imageName", "metadata"]
    builder = document["images"][1]["serverBuilder"]
    assert builder == json.loads((study / "data/2/server.json").read_bytes())
    assert builder["uri"].endswith("/M%C3%BCller%20%232.svs")
    assert [level["downsample"] for level in builder["metadata"]["levels"]] == [1.0, 4.0]
    with open_project(study, backend="native") as project:
        first, second = project.images
        assert project.path_classes == DEFAULT_CLASSES
        assert (project.name, project.qupath_version, project.backend) == ("study v1.2", "0.5.1", "native")
        assert (first.name, first.id, first.size, first.image_type) == (
            "first image.svs",
            1,
            (4096, 2048),
            ImageType.BRIGHTFIELD_H_E,
        )
        assert (first.pixel_calibration.width, first.pixel_calibration.height) == (0.25, 0.25)
        assert [a.name for a in first.annotations] == ["outer", "inner"]
        assert first.annotations[1].parent == first.annotations[0].id
        assert second.slide_path == study.parent / "slides" / "Müller #2.svs"
        assert (second.image_type, list(second.annotations), len(second.tiles())) == (ImageType.UNSET, [], 0)
        assert not second.data_file.exists()


def test_a_project_is_not_made_over_another(study: Path, tree: Tree) -> None:
    before = tree(study)
    with pytest.raises(ProjectAccessError, match="already"):
        create_project(study)
    assert tree(study) == before


def test_images_are_found_by_name_and_id(study: Path) -> None:
    with open_project(study, backend="native") as project:
        assert project.image("Müller #2.svs") is project.image(2)
        with pytest.raises(ImageNotFoundError, match="no image is called 'x'"):
            project.image("x")


def test_reading_writes_nothing_at_all(study: Path) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in [study, *study.rglob("*")]}

    before = state()
    with open_project(study, "r", "native") as project:
        for entry in project.images:
            assert entry.hierarchy.count().total() == len(entry.annotations)
            for change in (lambda e=entry: e.edit(HierarchyEdit()), entry.save, project.save):
                with pytest.raises(ProjectAccessError, match="reading only"):
                    change()
        with pytest.raises(ProjectAccessError, match="reading only"):
            entry.metadata = {}
    assert state() == before


def test_a_run_is_undone_byte_for_byte(study: Path, tree: Tree) -> None:
    before = tree(study)
    with open_project(study, "r+", "native") as project, project.transaction("0001", "score"):
        for entry in project.images:
            parent = next((a.id for a in entry.annotations), None)
            entry.edit(HierarchyEdit(add_tiles=make_tiles(3, parent)))
            entry.metadata = {"HER2 run": "0001"}
        project.path_classes = (*project.path_classes, HER2_2)
        project.save()
        assert [len(entry.tiles()) for entry in project.images] == [3, 3]
    after = tree(study)
    changed = {name for name in after.keys() | before.keys() if after.get(name) != before.get(name)}
    assert changed == {_DATA, "data/2/data.qpdata", "project.qpproj", "classifiers/classes.json"}
    assert set(restore_last(study).files) == changed
    assert tree(study) == before


def test_what_her2qp_does_not_know_survives(study: Path) -> None:
    path = study / "project.qpproj"
    document = json.loads(path.read_bytes())
    document["future"] = {"deep": [1, 2.50]}
    document["images"][0] |= {"tags": ["tag one"], "unknown": None}
    path.write_text(json.dumps(document))
    (study / "project.qpproj.backup").write_text("QuPath's own")
    _add_tiles(study)
    document["images"][0]["metadata"]["HER2 predicted"] = "2+"
    assert json.loads(path.read_bytes()) == document
    assert (study / "project.qpproj.backup").read_text() == "QuPath's own"


def test_metadata_of_others_is_merged_and_not_overwritten(study: Path) -> None:
    with open_project(study, "r+", "native") as project:
        first, second = project.images
        _add_tiles(study)
        second.metadata = {**second.metadata, "HER2 predicted": "0"}
        second.save()
        first.metadata = {**first.metadata, "HER2 status": "done"}
        first.save()
        assert first.metadata == {"patient": "P-1", "HER2 predicted": "2+", "HER2 status": "done"}
    with open_project(study, backend="native") as project:
        assert [dict(entry.metadata) for entry in project.images] == [
            {"patient": "P-1", "HER2 predicted": "2+", "HER2 status": "done"},
            {"patient": "P-1", "HER2 predicted": "0"},
        ]


def test_an_image_changed_since_it_was_read_is_not_overwritten(study: Path, tree: Tree) -> None:
    with open_project(study, "r+", "native") as project:
        entry = project.images[0]
        entry.edit(HierarchyEdit(remove=frozenset({entry.annotations[1].id})))
        _add_tiles(study)
        between = tree(study)
        with pytest.raises(ProjectChangedError, match="after it was read"):
            entry.save()
    assert tree(study) == between


def test_an_image_that_was_given_another_pixel_size_is_not_saved(study: Path) -> None:
    with open_project(study, "r+", "native") as project:
        entry = project.images[0]
        entry.edit(HierarchyEdit(add_tiles=make_tiles(3, None)))
        path = study / "project.qpproj"
        path.write_bytes(path.read_bytes().replace(b"0.25", b"0.5"))
        with pytest.raises(ProjectChangedError, match="pixel size"):
            entry.save()


def test_two_images_with_one_id_are_read_but_not_written(study: Path, tree: Tree) -> None:
    path = study / "project.qpproj"
    path.write_bytes(path.read_bytes().replace(b'"entryID": 2', b'"entryID": 1'))
    before = tree(study)
    with open_project(study, "r+", "native") as project:
        assert [entry.name for entry in project.images] == ["first image.svs", "Müller #2.svs"]
        for entry in project.images:
            entry.edit(HierarchyEdit(add_tiles=make_tiles(3, None)))
            with pytest.raises(ProjectChangedError, match="not the only one"):
                entry.save()
    assert tree(study) == before


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_a_damaged_image_is_refused_and_the_others_are_read(study: Path, tree: Tree, damage: str) -> None:
    path = study / _DATA
    data = path.read_bytes()
    path.write_bytes({"truncated": data[:-20], "garbage": b"garbage" * 100, "empty": b""}[damage])
    before = tree(study)
    with open_project(study, "r+", "native") as project:
        damaged, whole = project.images
        assert len(whole.annotations) == 0
        with pytest.raises(DataFileError, match=r"data\.qpdata"):
            damaged.annotations  # noqa: B018
        damaged.edit(HierarchyEdit(add_tiles=make_tiles(3, None)))
        with pytest.raises(DataFileError):
            damaged.save()
    assert tree(study) == before


def test_a_crashed_save_of_qupath_stops_us(study: Path, tree: Tree) -> None:
    backup = study / (_DATA + ".bkp")
    backup.write_bytes((study / _DATA).read_bytes())
    before = tree(study)
    with open_project(study, "r+", "native") as project:
        entry = project.images[0]
        entry.edit(HierarchyEdit(add_tiles=make_tiles(3, entry.annotations[0].id)))
        with pytest.raises(CrashedSaveError):
            entry.save()
        assert tree(study) == before
        for data in (b"half a fi", None):
            if data is None:
                (study / _DATA).unlink()
            else:
                (study / _DATA).write_bytes(data)
            with pytest.raises(CrashedSaveError), open_project(study, backend="native") as again:
                again.images[0].annotations  # noqa: B018


def test_a_link_out_of_the_project_is_not_written_through(study: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (study / "data" / "2").rename(study / "data" / "2 moved")
    (study / "data" / "2").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with open_project(study, "r+", "native") as project:
        entry = project.images[1]
        entry.edit(HierarchyEdit(add_tiles=make_tiles(3, None)))
        with pytest.raises(ProjectAccessError, match="out of the project"):
            entry.save()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_locked_project_is_not_written(study: Path, tree: Tree) -> None:
    before = tree(study)
    with ProjectLock(study, "score"), open_project(study, "r+", "native") as project:
        assert len(project.images[0].annotations) == 2
        refused = pytest.raises(ProjectLockedError, match=f"process {os.getpid()}")
        with refused, project.transaction("mine", "clear", wait_s=0.1):
            pass
    assert tree(study) == before


class _LossyStore(NativeStore):
    """A store with a bug: it loses an object that nobody asked it to remove."""

    def write(self, source: ImageSource, content: QpData, edits: object, destination: Path) -> None:
        content.apply(HierarchyEdit(remove=frozenset({content.annotations[-1].id})))
        super().write(source, content, edits, destination)  # type: ignore[arg-type]


def test_a_store_that_loses_an_object_is_caught_before_anything_changes(study: Path, tree: Tree) -> None:
    before = tree(study)
    with Project(ProjectFile.read(study / "project.qpproj"), "r+", _LossyStore()) as project:
        entry = project.images[0]
        entry.edit(HierarchyEdit(add_tiles=make_tiles(3, entry.annotations[0].id)))
        with pytest.raises(DataFileError, match="not what it should be"):
            entry.save()
    assert tree(study) == before


def test_missing_and_unsupported_slides(study: Path) -> None:
    (study.parent / "slides" / "Müller #2.svs").unlink()
    path = study / "project.qpproj"
    document = json.loads(path.read_bytes())
    first = document["images"][0]
    first["serverBuilder"] = {"builderType": "affine", "transform": {}, "builder": first["serverBuilder"]}
    path.write_text(json.dumps(document))
    with open_project(study, backend="native") as project:
        affine, missing = project.images
        assert affine.slide_path is None
        assert str(affine.uri).endswith("first%20image.svs")
        with pytest.raises(UnsupportedServerError, match="affine"):
            affine.require_slide()
        assert missing.slide_path is None
        with pytest.raises(SlideNotFoundError, match="Müller #2"):
            missing.require_slide()


def test_edits_that_do_not_fit_are_refused(study: Path, tree: Tree) -> None:
    before = tree(study)
    for edit in (
        HierarchyEdit(remove=frozenset({rectangle("nobody", 0, 0, 1, 1).id})),
        HierarchyEdit(add_objects=(rectangle("outer", 0, 0, 1, 1),)),
        HierarchyEdit(add_tiles=make_tiles(2, rectangle("nobody", 0, 0, 1, 1).id)),
    ):
        with open_project(study, "r+", "native") as project:
            project.images[0].edit(edit)
            with pytest.raises(InvalidEditError):
                project.images[0].save()
    assert tree(study) == before


def test_what_is_discarded_is_not_saved_with_the_others(study: Path, tree: Tree) -> None:
    before = tree(study)
    with open_project(study, "r+", "native") as project:
        failed, other = project.images
        failed.edit(HierarchyEdit(remove=frozenset({rectangle("nobody", 0, 0, 1, 1).id})))
        failed.metadata = {"HER2 predicted": "2+"}
        with pytest.raises(InvalidEditError):
            failed.save()
        failed.discard()
        assert not failed.is_changed
        assert failed.metadata == {"patient": "P-1"}
        other.edit(HierarchyEdit(add_tiles=make_tiles(3, None)))
        project.save()
    after = tree(study)
    assert {name for name in after if after[name] != before.get(name)} == {"data/2/data.qpdata"}


def test_metadata_is_text(study: Path) -> None:
    with open_project(study, "r+", "native") as project, pytest.raises(InvalidEditError, match="text"):
        project.images[0].metadata = {"n": 1}  # type: ignore[dict-item]


def test_a_class_list_that_is_not_one_spares_the_images(study: Path) -> None:
    (study / "classifiers" / "classes.json").write_text("[]")
    with open_project(study, backend="native") as project:
        assert len(project.images[0].annotations) == 2
        with pytest.raises(ProjectFormatError, match=r"classes\.json"):
            project.path_classes  # noqa: B018


def test_many_processes_that_save_different_images_lose_nothing(tmp_path: Path) -> None:
    with create_project(tmp_path / "many") as project:
        for i in range(4):
            project.add_image(tmp_path / f"{i}.svs", image_type=ImageType.BRIGHTFIELD_H_E)
    script = """
import sys, numpy as np
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath import open_project
from tests.qupath.project.conftest import make_tiles
project = open_project(sys.argv[1], "r+", "native")
entry = project.images[int(sys.argv[2])]
entry.edit(HierarchyEdit(add_tiles=make_tiles(20, None)))
entry.metadata = {"scored by": sys.argv[2]}
print("read", flush=True)
sys.stdin.readline()
entry.save()
"""
    root = Path(__file__).resolve().parents[3]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "many"), str(i)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(root)},
            text=True,
        )
        for i in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "read\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert [worker.wait(60) for worker in workers] == [0] * 4
    with open_project(tmp_path / "many", backend="native") as project:
        assert [dict(entry.metadata) for entry in project.images] == [{"scored by": str(i)} for i in range(4)]
        assert [len(entry.tiles()) for entry in project.images] == [20] * 4


def test_the_objects_of_one_image_are_in_memory_at_a_time(golden: Path) -> None:
    with open_project(golden / "project", backend="native") as project:
        first, second, _ = project.images
        read = weakref.ref(first.hierarchy)
        n_annotations = len(first.annotations)
        assert read() is first.hierarchy
        assert second.annotations
        gc.collect()
        assert read() is None
        assert len(first.annotations) == n_annotations
