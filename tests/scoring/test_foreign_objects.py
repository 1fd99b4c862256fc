"""Cells and detections that QuPath or StarDist made inside the regions keep every byte when the slide is scored."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely
from support import contents

import her2qp
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ObjectType, PathObject
from her2qp.qupath.rois import make_roi
from tests.qupath.native.bytewise import object_bytes, other_parts
from tests.qupath.native.samples import new_id

CMU = "CMU-1-Small-Region.svs"
FILE = "data/3/data.qpdata"
POSITIVE, NEGATIVE = PathClass(("Tumor", "Positive")), PathClass(("Tumor", "Negative"))
SEGMENTED = 300

pytestmark = [pytest.mark.long, pytest.mark.parametrize("golden", ["0.5.1"], indirect=True)]


def segmentation(tumor: PathObject) -> tuple[PathObject, ...]:
    """Cells as QuPath detects them and detections as StarDist leaves them, in turn, inside an annotation."""
    rng = np.random.default_rng(0)
    x0, y0, x1, y1 = tumor.geometry.bounds
    spots = shapely.points(rng.uniform((x0, y0), (x1, y1), (4 * SEGMENTED, 2)).round(1))
    spots = spots[shapely.contains(tumor.geometry, spots)][:SEGMENTED]
    objects = []
    for number, spot in enumerate(spots):
        outline = make_roi(shapely.Point(spot).buffer(6 + number % 5, quad_segs=3))
        is_cell = number % 2 == 0
        objects.append(
            PathObject(
                new_id(number),
                ObjectType.CELL if is_cell else ObjectType.DETECTION,
                outline,
                POSITIVE if number % 3 else NEGATIVE,
                measurements={"Nucleus: Area": rng.normal(), "Detection probability": rng.random(), "µm": np.nan},
                class_probability=rng.random(),
                nucleus=make_roi(shapely.Point(spot).buffer(3, quad_segs=2)) if is_cell else None,
                parent=tumor.id,
            )
        )
    return tuple(objects)


@pytest.fixture
def segmented(golden: Path) -> Path:
    """A golden project with cells inside its tumour."""
    with her2qp.open_project(golden / "project", mode="r+", backend="native") as project:
        image = project.image(CMU)
        (tumor,) = [a for a in image.annotations if str(a.path_class) == "Tumor"]
        image.edit(HierarchyEdit(add_objects=segmentation(tumor)))
        image.save()
    return golden / "project"


@pytest.fixture(params=["native", pytest.param("paquo", marks=pytest.mark.qupath)])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "paquo":
        request.getfixturevalue("qupath_dir")
    return str(request.param)


def detections(raw: bytes) -> dict[UUID, tuple[UUID | None, bytes]]:
    """The bytes of the made-up cells and detections."""
    objects = object_bytes(raw)
    return {new_id(number): objects[new_id(number)] for number in range(SEGMENTED)}


@pytest.mark.parametrize("whole_tissue", [False, True], ids=["regions", "whole tissue"])
def test_score_clear_and_undo_leave_every_byte_of_a_cell(segmented: Path, backend: str, whole_tissue: bool) -> None:
    if backend == "paquo":  # QuPath writes once in its own way what another program wrote
        with her2qp.open_project(segmented, mode="r+", backend="paquo") as project:
            image = project.image(CMU)
            image.edit(HierarchyEdit(set_measurements={image.annotations[0].id: {"checked": 1.0}}))
            project.save()
    file = segmented / FILE
    files, original = contents(segmented), file.read_bytes()
    for _ in range(2):
        result = her2qp.score(segmented, images=[CMU], backend=backend, whole_tissue=whole_tissue)
        assert result.exit_code == 0 and result.outcomes[0].added > 20
        scored = file.read_bytes()
        assert detections(scored) == detections(original)
        assert len(object_bytes(scored)) == len(object_bytes(original)) + result.outcomes[0].added
    her2qp.clear(segmented, backend=backend)
    cleared = file.read_bytes()
    assert object_bytes(cleared) == object_bytes(original)
    if backend == "native":
        assert other_parts(scored) == other_parts(original)
        assert contents(segmented) == files
    for _ in range(3):
        her2qp.undo(segmented)
    assert contents(segmented) == files
