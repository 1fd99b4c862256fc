"""The project file and the class list belong to all images and programs: a change by one keeps those of all others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from her2qp.errors import ProjectChangedError
from her2qp.qupath import open_project
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.jsonfile import parse_json, to_gson
from her2qp.qupath.projectfile import ProjectFile
from her2qp.qupath.transaction.step import Step
from tests.qupath.project.conftest import HER2_2, make_tiles

CLASSES = "classifiers/classes.json"


def change_json(path: Path, change: Callable[[Any], None]) -> None:
    """Another program reads a file, changes it and writes it in QuPath's style."""
    document = parse_json(path.read_bytes(), where=path)
    change(document)
    path.write_bytes(to_gson(document))


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Let something happen once, between the moment a run has read a file and that in which it replaces it."""

    def arrange(act: Callable[[], None]) -> None:
        original, done = Step._written, []

        def written(self: Step, relative: str, *how: Any) -> Any:
            if not done:
                done.append(relative)
                act()
            return original(self, relative, *how)

        monkeypatch.setattr(Step, "_written", written)

    return arrange


def test_an_image_whose_server_has_nan_is_the_same_as_before(study: Path) -> None:
    def unset(document: Any) -> None:
        document["images"][0]["serverBuilder"]["metadata"]["magnification"] = float("nan")

    change_json(study / "project.qpproj", unset)
    with open_project(study, "r+", "native") as project:
        project.images[0].metadata = {"seen": "today"}
        project.images[0].save()
    with open_project(study) as project:
        assert project.images[0].metadata == {"seen": "today"}


def test_whatever_qupath_writes_meanwhile_into_the_project_file_stays(study: Path, between: Any) -> None:
    path = study / "project.qpproj"

    def edit(document: Any) -> None:
        document["modifyTimestamp"] = 1234
        document["future"] = {"deep": [1, 2.50]}
        first, second = document["images"]
        first["description"] = "seen today"
        first["tags"] = ["tag one", "tag two"]
        first["metadata"]["patient"] = "P-9"
        second["metadata"] = {"patient": "P-7", "stain": "H&E"}
        second["imageName"] = "renamed"
        document["images"].append({**second, "entryID": 3, "imageName": "added"})
        document["lastID"] = 3

    with open_project(study, "r+", "native") as project:
        entry = project.images[0]
        entry.metadata = {**entry.metadata, "HER2 predicted": "2+"}
        between(lambda: change_json(path, edit))
        entry.save()
    expected = json.loads(path.read_bytes())
    assert expected["images"][0]["metadata"].pop("HER2 predicted") == "2+"
    assert [image["imageName"] for image in expected["images"]] == ["first image.svs", "renamed", "added"]
    assert list(expected["images"][0]) == [
        "serverBuilder", "entryID", "randomizedName", "imageName", "metadata", "description", "tags",
    ]  # fmt: skip
    assert (expected["modifyTimestamp"], expected["future"], expected["lastID"]) == (1234, {"deep": [1, 2.50]}, 3)


def test_a_pixel_size_that_is_set_meanwhile_keeps_a_result_of_the_old_one_out(study: Path, between: Any) -> None:
    path, data = study / "project.qpproj", study / "data" / "1" / "data.qpdata"
    before = data.read_bytes()
    with open_project(study, "r+", "native") as project:
        entry = project.images[0]
        entry.edit(HierarchyEdit(add_tiles=make_tiles(3, None)))
        entry.metadata = {"HER2 predicted": "2+"}
        between(lambda: path.write_bytes(path.read_bytes().replace(b'"value": 0.25', b'"value": 0.5')))
        with pytest.raises(ProjectChangedError, match="pixel size"):
            entry.save()
    assert data.read_bytes() == before and b"HER2" not in path.read_bytes() and b'"value": 0.5' in path.read_bytes()


def test_an_image_that_is_removed_meanwhile_gets_no_metadata(study: Path, between: Any) -> None:
    path = study / "project.qpproj"
    with open_project(study, "r+", "native") as project:
        entry = project.images[0]
        entry.metadata = {"HER2 predicted": "2+"}
        between(lambda: change_json(path, lambda document: document["images"].pop(0)))
        with pytest.raises(ProjectChangedError, match="no longer in the project"):
            entry.save()
    assert [image["imageName"] for image in json.loads(path.read_bytes())["images"]] == ["Müller #2.svs"]


def test_classes_that_are_listed_recoloured_and_removed_meanwhile_stay_so(study: Path, between: Any) -> None:
    def edit(document: Any) -> None:
        classes = document["pathClasses"]
        del classes[4]
        classes[0]["color"] = 5
        classes.append({"name": "Hers", "color": 7, "future": True})

    with open_project(study, "r+", "native") as project:
        project.path_classes = (*project.path_classes, HER2_2)
        between(lambda: change_json(study / CLASSES, edit))
        project.save()
        listed = project.path_classes
    assert [str(c) for c in listed] == [
        "Tumor", "Stroma", "Immune cells", "Necrosis", "Region*", "Ignore*", "Positive", "Negative", "Hers", "HER2 2+",
    ]  # fmt: skip
    assert listed[0].color == 5
    assert {"name": "Hers", "color": 7, "future": True} in json.loads((study / CLASSES).read_bytes())["pathClasses"]


def test_a_class_that_somebody_lists_meanwhile_is_not_listed_twice(study: Path, between: Any) -> None:
    hers = {"name": "HER2 2+", "color": 7}
    with open_project(study, "r+", "native") as project:
        project.path_classes = (*project.path_classes, HER2_2)
        between(lambda: change_json(study / CLASSES, lambda document: document["pathClasses"].append(hers)))
        project.save()
        assert [c.color for c in project.path_classes if c == HER2_2] == [7]


def test_a_colour_alone_is_saved(study: Path) -> None:
    with open_project(study, "r+", "native") as project:
        project.path_classes = tuple(PathClass(c.names, 3) for c in project.path_classes)
        project.save()
    with open_project(study, backend="native") as project:
        assert {c.color for c in project.path_classes} == {3}


SAVE_AGAIN_AND_AGAIN = """
import sys, time
from pathlib import Path
from her2qp.qupath.jsonfile import parse_json, to_gson
path = Path(sys.argv[1])
beside, previous = (path.with_name(path.name + suffix) for suffix in (".tmp", ".backup"))
print("ready", flush=True)
for turn in range(10_000):
    document = parse_json(path.read_bytes(), where=path)
    document["images"][1]["metadata"]["turn"] = str(turn)
    document["images"][1]["tags"] = ["kept"]
    beside.write_bytes(to_gson(document))
    path.rename(previous)
    time.sleep(0.05)
    beside.rename(path)
    time.sleep(0.45)
"""


@pytest.fixture
def busy_qupath(study: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a process that saves the project again and again, in the two steps in which QuPath does."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SAVE_AGAIN_AND_AGAIN, str(study / "project.qpproj")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows renames no file that is being read")
def test_a_project_file_that_is_saved_all_the_time_is_changed_between_two_saves(
    study: Path, busy_qupath: Callable[[], subprocess.Popen[str]]
) -> None:
    with open_project(study, "r+", "native") as project:
        busy = busy_qupath()
        entry = project.images[0]
        for turn in range(20):
            entry.metadata = {**entry.metadata, "HER2 predicted": str(turn)}
            entry.save()
    busy.kill()
    busy.wait()
    path = study / "project.qpproj"
    if not path.exists():  # it was killed between its two steps
        path.with_name("project.qpproj.tmp").rename(path)
    second = ProjectFile.read(path).images[1]
    assert second["tags"] == ["kept"] and int(second["metadata"]["turn"]) > 0
