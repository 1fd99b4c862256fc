"""What a real QuPath makes of a project that was scored without it."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

import her2qp
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.hierarchy import Hierarchy
from her2qp.qupath.objects import ObjectType, PathObject, Roi, RoiKind

CMU = "CMU-1-Small-Region.svs"
pytestmark = [pytest.mark.qupath, pytest.mark.long]

DRAWN_LATER = PathObject(
    id=UUID("7f3f3b51-54a5-4b8c-9a45-0b8f8f8ad0c1"),
    type=ObjectType.ANNOTATION,
    roi=Roi(RoiKind.RECTANGLE, shapely.box(10, 20, 40, 60)),
    name="drawn later",
)

ROUNDING = 0.011
"""QuPath 0.6 and later round the vertices that they write to 0.01 px."""


@pytest.fixture
def scored(golden: Path, qupath_dir: Path) -> Path:
    """A golden project whose real slide was scored natively."""
    assert her2qp.score(golden / "project", images=[CMU], backend="native").exit_code == 0
    return golden / "project"


def all_but_tiles(hierarchy: Hierarchy) -> list[PathObject]:
    return [obj for obj in hierarchy.objects() if obj.type is not ObjectType.TILE]


def assert_same_object(found: PathObject, wanted: PathObject) -> None:
    for field in ("id", "type", "path_class", "name", "color", "locked", "parent"):
        assert getattr(found, field) == getattr(wanted, field), field
    assert dict(found.metadata) == dict(wanted.metadata)
    assert repr(dict(found.measurements)) == repr(dict(wanted.measurements))
    assert found.roi is not None and wanted.roi is not None
    assert (found.roi.kind, found.roi.plane) == (wanted.roi.kind, wanted.roi.plane)
    assert shapely.hausdorff_distance(found.roi.geometry, wanted.roi.geometry) <= ROUNDING


def test_qupath_reads_the_objects_and_tiles_that_the_native_store_wrote(scored: Path) -> None:
    with (
        her2qp.open_project(scored, backend="native") as native,
        her2qp.open_project(scored, backend="paquo") as real,
    ):
        assert real.path_classes == native.path_classes
        mine, its = native.image(CMU), real.image(CMU)
        assert dict(its.metadata) == dict(mine.metadata) and "HER2 predicted" in its.metadata
        for found, wanted in zip(all_but_tiles(its.hierarchy), all_but_tiles(mine.hierarchy), strict=True):
            assert_same_object(found, wanted)
        tiles, written = its.tiles(), mine.tiles()
    assert len(tiles) == len(written) > 20
    np.testing.assert_array_equal(tiles.ids, written.ids)
    np.testing.assert_array_equal(tiles.bounds, written.bounds)
    np.testing.assert_array_equal(tiles.values, written.values)
    assert tiles.names == written.names and list(tiles.parent_ids) == list(written.parent_ids)
    assert [tiles.classes[i] for i in tiles.class_index] == [written.classes[i] for i in written.class_index]


def test_what_qupath_saved_again_is_still_recognised_as_ours(scored: Path) -> None:
    """A pathologist who looks at a result and saves the image must not turn the result into something of hers."""
    with her2qp.open_project(scored, mode="r+", backend="paquo") as project:
        image = project.image(CMU)
        n_tiles, n_others = len(image.tiles()), len(all_but_tiles(image.hierarchy))
        image.edit(HierarchyEdit(add_objects=(DRAWN_LATER,)))
        image.save()
    (outcome,) = her2qp.score(scored, images=[CMU], backend="native").outcomes
    assert (outcome.removed, outcome.added) == (n_tiles, n_tiles)
    her2qp.clear(scored, backend="native")
    with her2qp.open_project(scored, backend="paquo") as project:
        image = project.image(CMU)
        assert len(image.tiles()) == 0
        assert len(all_but_tiles(image.hierarchy)) == n_others + 1
        assert not [name for obj in image.hierarchy.objects() for name in obj.measurements if name.startswith("HER2 ")]
        assert dict(image.metadata) == {}
