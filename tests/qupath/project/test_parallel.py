"""Several runs at the same time: each can be undone alone, and none while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from her2qp.errors import ProjectChangedError, ProjectLockedError
from her2qp.qupath import open_project
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.project import Project
from her2qp.qupath.transaction import ProjectLock, Transaction, list_backups, restore_backup, restore_last
from her2qp.qupath.transaction.backup import KEPT_RUNS
from tests.qupath.project.conftest import HER2_2, Tree, make_tiles

QPPROJ = "project.qpproj"


@pytest.fixture(autouse=True)
def _no_history(study: Path) -> None:
    """Runs that made the project itself are not what these tests undo."""
    for backup in list_backups(study):
        backup.remove()


def _score(project: Project, image: int, run: str) -> None:
    entry = project.images[image]
    parent = entry.annotations[0].id if entry.annotations else None
    entry.edit(HierarchyEdit(remove=frozenset(_tile_ids(entry)), add_tiles=make_tiles(3, parent)))
    entry.metadata = {**entry.metadata, "HER2 run": run}
    entry.save()
    if HER2_2 not in project.path_classes:
        project.path_classes = (*project.path_classes, HER2_2)
        project.save()


def _tile_ids(entry: object) -> set[object]:
    from uuid import UUID

    return {UUID(bytes=row.tobytes()) for row in entry.tiles().ids}  # type: ignore[attr-defined]


def _metadata(study: Path) -> list[dict[str, str]]:
    with open_project(study, backend="native") as project:
        return [dict(entry.metadata) for entry in project.images]


def _side_by_side(study: Path, work: Callable[[Project, Project], None]) -> None:
    """Run a and run b, begun in this order, each with a project of its own as in two processes."""
    with (
        open_project(study, "r+", "native") as a,
        open_project(study, "r+", "native") as b,
        a.transaction("0001", "score"),
        b.transaction("0002", "score"),
    ):
        work(a, b)


def test_each_of_two_interleaved_runs_is_undone_alone(study: Path, tree: Tree) -> None:
    before = tree(study)

    def work(a: Project, b: Project) -> None:
        _score(a, 0, "0001")
        _score(b, 1, "0002")
        a.images[0].metadata = {**a.images[0].metadata, "HER2 status": "done"}
        a.save()  # the project file now is run a's last state, and holds run b's change

    _side_by_side(study, work)
    assert set(restore_backup(study, "0001").files) == {"data/1/data.qpdata", QPPROJ}
    assert _metadata(study) == [{"patient": "P-1"}, {"patient": "P-1", "HER2 run": "0002"}]
    with open_project(study, backend="native") as project:
        assert [len(entry.tiles()) for entry in project.images] == [0, 3]
        assert HER2_2 in project.path_classes  # run b's tiles have this class
    restore_last(study)
    after = tree(study)
    assert {name for name in after if after[name] != before.get(name)} == {"classifiers/classes.json"}


def test_a_run_whose_image_a_later_one_changed_is_undone_after_that(study: Path, tree: Tree) -> None:
    before = tree(study)
    for run in ("0001", "0002"):
        with open_project(study, "r+", "native") as project, project.transaction(run, "score"):
            _score(project, 0, run)
    between = tree(study)
    with pytest.raises(ProjectChangedError, match="Undo run 0002 first"):
        restore_backup(study, "0001")
    assert tree(study) == between
    restore_backup(study, "0002")
    restore_backup(study, "0001")
    assert tree(study) == before


def test_undo_goes_through_although_qupath_wrote_the_project_file_since(study: Path) -> None:
    with open_project(study, "r+", "native") as project, project.transaction("0001", "score"):
        _score(project, 0, "0001")
    path = study / QPPROJ
    path.write_bytes(
        path.read_bytes().replace(b'"P-1"', b'"P-2"').replace(b'"modifyTimestamp": 1', b'"modifyTimestamp": 2')
    )
    with open_project(study, "r+", "native") as project:
        project.path_classes = tuple(c for c in project.path_classes if str(c) != "Other")
        project.save()
    restore_backup(study, "0001")
    assert _metadata(study) == [{"patient": "P-2"}, {"patient": "P-2"}]
    with open_project(study, backend="native") as project:
        assert not {"Other", "HER2 2+"} & {str(c) for c in project.path_classes}


def test_undo_does_not_touch_metadata_that_a_person_changed_since(study: Path, tree: Tree) -> None:
    with open_project(study, "r+", "native") as project, project.transaction("0001", "score"):
        _score(project, 0, "0001")
    path = study / QPPROJ
    path.write_bytes(path.read_bytes().replace(b'"HER2 run": "0001"', b'"HER2 run": "hers"'))
    before = tree(study)
    with pytest.raises(ProjectChangedError, match="'HER2 run' of image 1"):
        restore_last(study)
    assert tree(study) == before


def test_a_file_that_somebody_saved_between_two_changes_of_a_run_is_not_set_back(study: Path, tree: Tree) -> None:
    with open_project(study, "r+", "native") as a, a.transaction("0001", "score"):
        _score(a, 0, "0001")
        with open_project(study, "r+", "native") as person:
            person.images[0].edit(HierarchyEdit(remove=frozenset({person.images[0].annotations[1].id})))
            person.images[0].save()
        a.images[0].edit(HierarchyEdit(add_tiles=make_tiles(2, None)))
        a.images[0].save()
    before = tree(study)
    with pytest.raises(ProjectChangedError, match="lose the change"):
        restore_backup(study, "0001")
    assert tree(study) == before


def test_a_run_is_not_undone_while_it_goes_on(study: Path, tree: Tree) -> None:
    with open_project(study, "r+", "native") as project, project.transaction("0001", "score"):
        _score(project, 0, "0001")
        before = tree(study)
        with pytest.raises(ProjectLockedError, match="run 0001 is in use by her2qp score"):
            restore_last(study)
        assert tree(study) == before
    restore_last(study)
    assert not list((study / "her2qp" / "locks").glob("run-*"))


def test_a_run_is_not_undone_while_another_works_on_its_image(study: Path, tree: Tree) -> None:
    with open_project(study, "r+", "native") as project, project.transaction("0001", "score"):
        _score(project, 0, "0001")
    before = tree(study)
    refused = pytest.raises(ProjectLockedError, match="image 1 is in use by her2qp clear")
    with open_project(study, "r+", "native") as other, other.images[0].claim("clear"), refused:
        restore_last(study)
    assert tree(study) == before
    restore_last(study)


def test_two_runs_do_not_work_on_one_image_at_a_time(study: Path) -> None:
    with open_project(study, "r+", "native") as a, open_project(study, "r+", "native") as b:
        with a.images[0].claim("score"):
            with (
                pytest.raises(ProjectLockedError, match="image 1 is in use by her2qp score"),
                b.images[0].claim("score"),
            ):
                pass
            with b.images[1].claim("score"):
                pass
            _score(a, 0, "0001")
        with b.images[0].claim("score"):
            assert len(b.images[0].tiles()) == 3
            assert b.images[0].metadata["HER2 run"] == "0001"


def test_what_was_read_before_an_image_was_claimed_is_read_again_if_it_changed(study: Path) -> None:
    with open_project(study, "r+", "native") as early, open_project(study, "r+", "native") as other:
        assert len(early.images[0].tiles()) == 0
        _score(other, 0, "0001")
        with early.images[0].claim("score"):
            assert len(early.images[0].tiles()) == 3
            early.images[0].edit(HierarchyEdit(add_tiles=make_tiles(2, None)))
            early.images[0].save()


def test_the_backup_of_a_run_that_goes_on_is_kept(study: Path) -> None:
    with open_project(study, "r+", "native") as project, project.transaction("0000", "score"):
        _score(project, 0, "0000")
        for number in range(KEPT_RUNS + 2):
            with Transaction(study, f"{number + 1:04}", "score") as run:
                content = b"%d" % number
                present = run_digest(study / "data/7/data.qpdata")
                run.publish("data/7/data.qpdata", expected=present, write=lambda p, c=content: p.write_bytes(c))
        assert "0000" in {backup.run_id for backup in list_backups(study)}
    restore_backup(study, "0000")


def run_digest(path: Path) -> str:
    from her2qp.qupath.transaction.disk import file_digest

    return file_digest(path)


def test_the_holder_may_take_its_lock_again(study: Path) -> None:
    lock = ProjectLock(study, "score")
    with lock, lock:
        pass
    with ProjectLock(study, "clear"):
        pass


def test_a_class_that_she_recoloured_since_stays_when_the_run_is_undone(study: Path) -> None:
    with open_project(study, "r+", "native") as project, project.transaction("0001", "score"):
        _score(project, 0, "0001")
    with open_project(study, "r+", "native") as project:
        project.path_classes = tuple(PathClass(c.names, 0 if c == HER2_2 else c.color) for c in project.path_classes)
        project.save()
    restore_backup(study, "0001")
    with open_project(study, backend="native") as project:
        assert HER2_2 in project.path_classes
