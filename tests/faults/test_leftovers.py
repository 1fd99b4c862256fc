"""What a crashed QuPath leaves is said and repaired, and no byte is lost by it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import UUID

import pytest
from support import content_digests, run

import her2qp
from her2qp.errors import ProjectLockedError, ProjectNotFoundError
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ObjectType, PathObject
from her2qp.qupath.transaction import ProjectLock

GOOD, NEWER, TORN, NONE = "good", "newer", "torn", None
"""What may lie at a place: the state before, the state after a person added an annotation, half a file, nothing."""


@pytest.fixture
def project(example: Path) -> Path:
    """A project with one image and one run of her2qp's, so with a backup."""
    folder = example / "project"
    with her2qp.open_project(folder, "r+", backend="native") as opened:
        entry = opened.images[0]
        (tumor,) = entry.annotations
        added = PathObject(
            UUID(int=1), ObjectType.ANNOTATION, tumor.roi, PathClass(("Stroma",), -1), name="added by a person"
        )
        entry.edit(HierarchyEdit(add_objects=(added,)))
        entry.metadata = {"patient": "P-1"}
        opened.path_classes = (*opened.path_classes, PathClass(("Mine",), -16711936))
        opened.save()
    return folder


def data_file(project: Path) -> Path:
    return project / "data" / "1" / "data.qpdata"


def kept_by_the_run(project: Path, relative: str) -> bytes:
    (kept,) = (project / "her2qp" / "backups").glob(f"*/{relative}")
    return kept.read_bytes()


def lay(path: Path, what: str | None, states: dict[str, bytes]) -> None:
    path.unlink(missing_ok=True)
    if what is not None:
        path.write_bytes(states[what])


def names(project: Path) -> list[str]:
    with her2qp.open_project(project, backend="native") as opened:
        return [str(annotation.name) for annotation in opened.images[0].annotations]


def repair(project: Path) -> list[str]:
    """Repair, and make sure that it says so, that nothing is lost, and that nothing is left to do."""
    before = content_digests(project)
    found = her2qp.doctor(project)
    assert found and not any(finding.ok for finding in found)
    assert all("--repair" in finding.remedy for finding in found)
    assert content_digests(project) == before, "looking changed something"
    repaired = her2qp.doctor(project, repair=True)
    assert [finding.subject for finding in repaired] == [finding.subject for finding in found]
    assert all(finding.ok for finding in repaired)
    assert before <= content_digests(project), "a file's content is gone"
    (nothing,) = her2qp.doctor(project)
    assert nothing.ok
    return [finding.detail for finding in found]


@pytest.mark.parametrize(
    ("present", "copy", "expected", "said"),
    [
        (NONE, NEWER, NEWER, "is missing"),
        (TORN, NEWER, NEWER, "is damaged"),
        (NEWER, GOOD, NEWER, "after it saved"),
        (GOOD, NEWER, GOOD, "the copy holds 1 objects that the image no longer has"),
        (NEWER, TORN, NEWER, "after it saved"),
        (TORN, NONE, GOOD, "is damaged"),
        (TORN, TORN, GOOD, "is damaged"),
        (NONE, TORN, GOOD, "is missing"),
    ],
)
def test_the_data_of_an_image(project: Path, present: str | None, copy: str | None, expected: str, said: str) -> None:
    path = data_file(project)
    newer = path.read_bytes()
    states = {NEWER: newer, GOOD: kept_by_the_run(project, "data/1/data.qpdata"), TORN: newer[: len(newer) // 2]}
    lay(path, present, states)
    lay(path.with_name("data.qpdata.bkp"), copy, states)
    assert re.search(said, " ".join(repair(project)))
    assert path.read_bytes() == states[expected]
    assert ("added by a person" in names(project)) == (expected == NEWER)
    assert not path.with_name("data.qpdata.bkp").exists()


@pytest.mark.parametrize(
    ("present", "temporary", "previous", "expected"),
    [
        (NONE, NEWER, GOOD, NEWER),
        (NONE, TORN, NEWER, NEWER),
        (TORN, NONE, NEWER, NEWER),
        (NEWER, TORN, GOOD, NEWER),
        (TORN, NONE, NONE, GOOD),
    ],
)
def test_the_project_file(
    project: Path, present: str | None, temporary: str | None, previous: str | None, expected: str
) -> None:
    path = project / "project.qpproj"
    newer = path.read_bytes()
    states = {NEWER: newer, GOOD: kept_by_the_run(project, "project.qpproj"), TORN: newer[: len(newer) // 2]}
    lay(path, present, states)
    lay(project / "project.qpproj.tmp", temporary, states)
    lay(project / "project.qpproj.backup", previous, states)
    repair(project)
    assert path.read_bytes() == states[expected]
    assert names(project)


def test_a_torn_class_list_comes_from_the_backup_of_a_run(project: Path) -> None:
    path = project / "classifiers" / "classes.json"
    path.write_bytes(path.read_bytes()[:40])
    assert "class list is damaged" in repair(project)[0]
    assert path.read_bytes() == kept_by_the_run(project, "classifiers/classes.json")


def test_without_any_good_copy_nothing_is_touched_and_a_person_is_asked(example: Path) -> None:
    project = example / "project"
    path = data_file(project)
    path.write_bytes(path.read_bytes()[:100])
    before = content_digests(project)
    (finding,) = her2qp.doctor(project, repair=True)
    assert not finding.ok and "no good copy" in finding.detail
    assert before <= content_digests(project) and path.stat().st_size == 100


def test_a_project_in_use_is_not_repaired(project: Path) -> None:
    data_file(project).rename(data_file(project).with_name("data.qpdata.bkp"))
    with ProjectLock(project, "score"), pytest.raises(ProjectLockedError):
        her2qp.doctor(project, repair=True)
    assert not data_file(project).exists()


def test_a_sound_project_and_no_project(project: Path, tmp_path: Path) -> None:
    (finding,) = her2qp.doctor(project / "project.qpproj")
    assert finding.ok and "every file is complete" in finding.detail
    with pytest.raises(ProjectNotFoundError):
        her2qp.doctor(tmp_path)


def test_the_command_line_tells_and_repairs(project: Path) -> None:
    data_file(project).rename(data_file(project).with_name("data.qpdata.bkp"))
    refused = run("clear", project, "--backend", "native")
    assert refused.returncode == 1 and "her2qp doctor PROJECT" in " ".join(refused.stdout.split())
    told = run("doctor", project)
    assert told.returncode == 1 and "missing" in told.stdout and "--repair" in told.stdout
    done = run("doctor", project, "--repair", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)[0]["ok"]
    assert run("doctor", project).returncode == 0
    assert names(project) == ["drawn by hand", "added by a person"]
