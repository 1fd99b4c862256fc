"""Both stores, one suite: what QuPath said about its own projects is what we read, and what we write we read back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import shapely

from her2qp.qupath import open_project
from her2qp.qupath.backends import Backend
from her2qp.qupath.classes import unpack_rgb
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.imageentry import ImageEntry
from her2qp.qupath.objects import ObjectType, PathObject
from her2qp.qupath.transaction import restore_last
from her2qp.qupath.transaction.verify import Expectation
from tests.qupath.conformance import assert_same_objects, reference_images
from tests.qupath.native.samples import without_ids
from tests.qupath.project.conftest import HER2_2, Tree, make_tiles, rectangle


def _reference(golden: Path) -> dict[str, Any]:
    reference: dict[str, Any] = json.loads((golden / "reference.json").read_text("utf-8"))
    return reference


def test_what_the_project_says(golden: Path) -> None:
    reference = _reference(golden)
    with open_project(golden / "project", backend="native") as project:
        assert project.qupath_version == reference["project_version"]
        listed = [[str(c), list(unpack_rgb(c.color or 0))] for c in project.path_classes]
        assert listed == reference["classes"]
        for entry, wanted in zip(project.images, reference["images"], strict=True):
            assert str(entry.id) == wanted["id"]
            assert entry.name == wanted["name"]
            assert entry.uri == wanted["uri"]
            assert entry.metadata == wanted["metadata"]
            assert (entry.description or "") == (wanted["description"] or "")
            assert entry.size == (wanted["width"], wanted["height"])


def test_slides_of_a_moved_project_are_found(golden: Path) -> None:
    with open_project(golden / "project", backend="native") as project:
        found = [entry.require_slide() for entry in project.images]
    assert found == [golden / "images" / name for name in ("slide_a.svs", "slide_b.tiff", "CMU-1-Small-Region.svs")]
    assert [(c.width, c.height) for c in (entry.pixel_calibration for entry in project.images)] == [
        (0.499, 0.499),
        (0.5, 0.5),
        (0.499, 0.499),
    ]


def test_objects_are_what_qupath_read(golden: Path, backend: Backend) -> None:
    with open_project(golden / "project", backend=backend) as project:
        for entry, wanted in zip(project.images, reference_images(golden), strict=True):
            assert_same_objects(entry.hierarchy, wanted)


def _tumor(entry: ImageEntry) -> PathObject:
    return next(a for a in entry.annotations if str(a.path_class) == "Tumor")


def test_a_result_is_written_read_back_cleared_and_undone(golden: Path, backend: Backend, tree: Tree) -> None:
    """The main job's write-back on the realistic image, then its removal, then undo."""
    folder = golden / "project"
    before = tree(folder)
    with open_project(folder, "r+", backend) as project:
        entry, wanted = project.images[2], reference_images(golden)[2]
        tumor = _tumor(entry)
        tiles, inner = make_tiles(40, tumor.id), rectangle("new", 20, 20, 60, 60)
        entry.edit(
            HierarchyEdit(
                add_tiles=tiles,
                add_objects=(inner,),
                set_measurements={tumor.id: {"HER2 p(0)": 0.25, "HER2 tiles": 40}},
            )
        )
        entry.metadata = {**entry.metadata, "HER2 predicted": "2+"}
        entry.save()
        assert len(entry.tiles()) == 40
        assert {row.tobytes() for row in entry.tiles().ids} == {row.tobytes() for row in tiles.ids}
        assert entry.tiles().parent_ids == (tumor.id,)
        assert HER2_2 in entry.tiles().classes
        assert _tumor(entry).measurements == {**tumor.measurements, "HER2 p(0)": 0.25, "HER2 tiles": 40.0}
        ours = {inner.id, *(tile.id for tile in entry.hierarchy.objects() if "HER2 attention" in tile.measurements)}
        assert len(ours) == 41
        entry.edit(
            HierarchyEdit(remove=frozenset(ours), drop_measurements={tumor.id: frozenset({"HER2 p(0)", "HER2 tiles"})})
        )
        entry.metadata = wanted["metadata"]
        entry.save()
        assert_same_objects(entry.hierarchy, wanted)
    assert {name for name, data in tree(folder).items() if data != before[name]} <= {
        "data/3/data.qpdata",
        "project.qpproj",
    }
    restore_last(folder)
    restore_last(folder)
    assert tree(folder) == before


def test_every_kind_of_object_survives_an_edit_of_its_neighbours(golden: Path, backend: Backend) -> None:
    """Image 1 has all ROI kinds, cells, planes and deep nesting; an annotation in the middle is removed."""
    with open_project(golden / "project", "r+", backend) as project:
        entry = project.images[0]
        parents = {obj.parent for obj in entry.annotations}
        middle = next(a for a in entry.annotations if a.parent is not None and a.id in parents)
        children = {obj.id for obj in entry.hierarchy.objects() if obj.parent == middle.id}
        assert middle.parent is not None
        edit = HierarchyEdit(
            remove=frozenset({middle.id}),
            add_tiles=make_tiles(7, middle.parent),
            set_measurements={middle.parent: {"HER2 tiles": 7.0}},
        )
        expectation = Expectation.of(entry.hierarchy).after(edit)
        entry.edit(edit)
        entry.save()
        expectation.check(entry.hierarchy, tolerance=0.02)
        assert len(make_tiles(7, middle.parent)) == sum(tile.parent == middle.parent for tile in entry.detections)
        moved = {obj.id: obj.parent for obj in entry.hierarchy.objects() if obj.id in children}
        assert moved == dict.fromkeys(children, middle.parent)


def test_what_a_person_draws_after_a_run_outlives_it(golden: Path, backend: Backend) -> None:
    """QuPath 0.3 writes no ids: those that we derive must not change when our tiles go from before hers."""
    with open_project(golden / "project", "r+", backend) as project:
        entry = project.images[2]
        tumor = _tumor(entry)
        ours = [make_tiles(30, tumor.id), make_tiles(20, None)]
        hers = rectangle("inside", 20, 20, 60, 60), rectangle("beside", 0, 0, 9, 9)
        for tiles in ours:
            entry.edit(HierarchyEdit(add_tiles=tiles))
        entry.edit(HierarchyEdit(add_objects=(replace(hers[0], parent=tumor.id), hers[1])))
        entry.save()
        if project.qupath_version == "0.3.2":
            entry.data_file.write_bytes(without_ids(entry.data_file.read_bytes(), {obj.id for obj in hers}))
    with open_project(golden / "project", "r+", backend) as project:
        entry = project.images[2]
        before = {obj.id: (obj.name, obj.parent) for obj in entry.hierarchy.objects() if obj.type != ObjectType.TILE}
        entry.edit(HierarchyEdit(remove=frozenset(UUID(bytes=row.tobytes()) for t in ours for row in t.ids)))
        entry.save()
        after = {obj.id: (obj.name, obj.parent) for obj in entry.hierarchy.objects() if obj.type != ObjectType.TILE}
    assert after == before
    assert {"inside", "beside"} < {name for name, _ in after.values()}


def test_an_image_that_was_never_saved_gets_its_first_data(golden: Path, backend: Backend) -> None:
    folder = golden / "project"
    shutil.rmtree(folder / "data" / "3")
    with open_project(folder, "r+", backend) as project:
        entry = project.images[2]
        assert entry.hierarchy.count().total() == 0
        entry.edit(HierarchyEdit(add_objects=(rectangle("first", 0, 0, 99, 99),)))
        entry.save()
        assert [a.name for a in entry.annotations] == ["first"]
        assert shapely.area(entry.annotations[0].geometry) == 99 * 99
    restore_last(folder)
    assert not (folder / "data" / "3").exists()


@pytest.mark.qupath
def test_what_one_store_writes_the_other_reads(golden: Path, qupath_dir: Path) -> None:
    for writer, reader in (("native", "paquo"), ("paquo", "native")):
        with open_project(golden / "project", "r+", writer) as project:  # type: ignore[arg-type]
            entry = project.images[2]
            entry.edit(
                HierarchyEdit(
                    remove=frozenset(
                        obj.id for obj in entry.hierarchy.objects() if "HER2 attention" in obj.measurements
                    ),
                    add_tiles=make_tiles(25, _tumor(entry).id),
                )
            )
            entry.save()
            written = Expectation.of(entry.hierarchy)
        with open_project(golden / "project", backend=reader) as project:  # type: ignore[arg-type]
            written.check(project.images[2].hierarchy, tolerance=0.02)
            assert len(project.images[2].tiles()) == 25
