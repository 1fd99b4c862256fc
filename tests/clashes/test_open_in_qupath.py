"""QuPath saves an image while it is scored: the save stays as it is, and the result waits beside the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import run

import her2qp
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.store import NativeStore
from her2qp.qupath.transaction.journal import Journal
from her2qp.scoring.monitor import Monitor

IMAGE = "patient 0"

SAVE_AS_QUPATH_DOES = """
import os, sys
from pathlib import Path
from uuid import UUID
import shapely
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import ObjectType, PathObject, Roi, RoiKind
path = Path(sys.argv[1])
data = QpData.read(path)
hers = PathObject(UUID(int=77), ObjectType.ANNOTATION, Roi(RoiKind.RECTANGLE, shapely.box(5, 5, 90, 90)), name="hers")
data.apply(HierarchyEdit(add_objects=(hers,)))
path.rename(path.with_name("data.qpdata.bkp"))
path.write_bytes(data.to_bytes())
path.with_name("data.qpdata.bkp").unlink()
"""


class Person:
    """Works on an image in a program that knows no locks, once, in a process of its own."""

    def __init__(self, project: Path) -> None:
        self.file = project / "data" / "1" / "data.qpdata"
        self.saved: bytes | None = None

    def save(self) -> None:
        if self.saved is None:
            subprocess.run([sys.executable, "-c", SAVE_AS_QUPATH_DOES, str(self.file)], check=True, timeout=60)
            self.saved = self.file.read_bytes()

    def rename_without_a_trace(self) -> None:
        """A change that leaves size and time as they were."""
        before = self.file.stat()
        self.file.write_bytes(self.file.read_bytes().replace(b"drawn 0", b"DRAWN 0"))
        os.utime(self.file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert self.file.stat().st_size == before.st_size
        self.saved = self.file.read_bytes()


class At(Monitor):
    """Lets something happen at a moment of a run."""

    def __init__(self, moment: str, act: Callable[[], None]) -> None:
        self.moment, self.act = moment, act

    def _now(self, moment: str) -> None:
        if moment == self.moment:
            self.act()

    def image_started(self, name: str) -> None:
        self._now("before it is read")

    def tiles_found(self, tiles: int) -> None:
        self._now("after it was read")


def score(project: Path, monitor: Any = None, images: tuple[str, ...] = (IMAGE,)) -> Any:
    return her2qp.score(project, monitor=monitor, images=images, backend="native")


def after(method: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        act()
        return result

    return call


def expect_kept_aside(project: Path, person: Person, result: Any) -> Path:
    outcome = result.outcomes[0]
    aside = next((project / "her2qp" / "aside" / result.run).iterdir())
    assert result.exit_code == 1 and outcome.status == "failed"
    assert str(aside) in outcome.reason and "her2qp import" in outcome.reason
    assert person.file.read_bytes() == person.saved
    assert not list(person.file.parent.glob("*tmp"))
    with her2qp.open_project(project, backend="native") as opened:
        assert dict(opened.image(IMAGE).metadata) == {"patient": "P-0"}
    return aside


@pytest.mark.parametrize("moment", ["after it was read", "when the new file is written", "when the old one is kept"])
def test_a_save_at_any_moment_stays_and_the_result_is_kept(
    lab: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person(lab)
    if moment == "when the new file is written":
        monkeypatch.setattr(NativeStore, "write", after(NativeStore.write, person.save))
    if moment == "when the old one is kept":
        monkeypatch.setattr(Journal, "begin", after(Journal.begin, person.save))
    aside = expect_kept_aside(lab, person, score(lab, At(moment, person.save)))
    monkeypatch.undo()

    brought = run("import", lab, aside, "--image", IMAGE, "--backend", "native")
    assert brought.returncode == 0, brought.stderr
    with her2qp.open_project(lab, backend="native") as project:
        entry = project.image(IMAGE)
        assert {a.name for a in entry.annotations} == {"drawn 0", "hers"}
        (tumor,) = [a for a in entry.annotations if a.name == "drawn 0"]
        tiles = entry.tiles()
        assert len(tiles) > 0 and set(tiles.parent_ids) == {tumor.id}
        assert tumor.measurements["HER2 tiles"] == len(tiles)
        assert entry.metadata["HER2 predicted"] and entry.metadata["patient"] == "P-0"
    shown = her2qp.inspect(lab)["images"][0]
    assert shown["her2qp"]["tiles"] == len(tiles) and shown["problems"] == []
    her2qp.clear(lab, images=[IMAGE], backend="native")
    assert QpData.read(person.file).ids() == QpData.from_bytes(person.saved or b"").ids()


def test_a_change_that_leaves_size_and_time_is_noticed(lab: Path) -> None:
    person = Person(lab)
    expect_kept_aside(lab, person, score(lab, At("after it was read", person.rename_without_a_trace)))


def test_what_is_saved_before_the_image_is_read_is_scored(lab: Path) -> None:
    person = Person(lab)
    assert score(lab, At("before it is read", person.save)).exit_code == 0
    with her2qp.open_project(lab, backend="native") as project:
        assert {a.name for a in project.image(IMAGE).annotations} == {"drawn 0", "hers"}
        assert len(project.image(IMAGE).tiles()) > 0


def test_the_other_images_of_the_batch_are_scored_and_the_run_is_undone(lab: Path) -> None:
    person = Person(lab)
    result = score(lab, At("after it was read", person.save), images=("patient 0", "patient 1"))
    assert [str(o.status) for o in result.outcomes] == ["failed", "scored"]
    her2qp.undo(lab)
    assert person.file.read_bytes() == person.saved
    with her2qp.open_project(lab, backend="native") as project:
        assert [len(entry.tiles()) for entry in project.images] == [0] * len(project.images)


def test_a_kept_result_replaces_the_earlier_one_but_not_what_she_deleted(lab: Path) -> None:
    score(lab)
    person = Person(lab)
    result = score(lab, At("after it was read", person.save))
    (aside,) = (lab / "her2qp" / "aside" / result.run).iterdir()
    with her2qp.open_project(lab, backend="native") as project:
        before = len(project.image(IMAGE).tiles())
    her2qp.import_objects(lab, aside, image=IMAGE, backend="native")
    with her2qp.open_project(lab, backend="native") as project:
        entry = project.image(IMAGE)
        assert len(entry.tiles()) == before and entry.metadata["HER2 run"] == result.run
        assert {a.measurements.get("HER2 run") for a in entry.annotations} == {2.0, None}
    her2qp.clear(lab, images=[IMAGE], backend="native")
    with her2qp.open_project(lab, "r+", "native") as project:
        from her2qp.qupath.edits import HierarchyEdit

        entry = project.image(IMAGE)
        entry.edit(HierarchyEdit(remove=frozenset(a.id for a in entry.annotations if a.name == "drawn 0")))
        entry.save()
    assert her2qp.import_objects(lab, aside, image=IMAGE, backend="native") == 0
    with her2qp.open_project(lab, backend="native") as project:
        assert [a.name for a in project.image(IMAGE).annotations] == ["hers"]


def test_inspect_tells_that_qupath_saved_an_older_state_over_a_result(lab: Path) -> None:
    older = lab.with_name("older")
    shutil.copytree(lab, older)
    score(lab)
    assert her2qp.inspect(lab)["images"][0]["problems"] == []
    newer = (lab / "project.qpproj").read_bytes()

    def save_over(name: str) -> list[str]:
        shutil.copyfile(older / name, lab / name)
        return list(her2qp.inspect(lab)["images"][0]["problems"])

    (gone,) = save_over("data/1/data.qpdata")
    assert "tiles of run 0001" in gone and "are gone" in gone
    (gone,) = save_over("project.qpproj")
    assert "the result of run 0001" in gone and "is gone" in gone
    (lab / "project.qpproj").write_bytes(newer)
    score(lab)
    (lab / "project.qpproj").write_bytes(newer)
    (replaced,) = her2qp.inspect(lab)["images"][0]["problems"]
    assert "instead of the later one of run 0002" in replaced
    her2qp.clear(lab, backend="native")
    assert her2qp.inspect(lab)["images"][0]["problems"] == []
