"""The main job on projects that QuPath itself wrote: what was there stays, what is added lies where it should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely
from support import contents

import her2qp
from her2qp.qupath.objects import ObjectType, PathObject
from her2qp.scheme import Scheme
from her2qp.scoring.vocabulary import REGION_MEASUREMENTS, tile_measurements

CMU = "CMU-1-Small-Region.svs"
pytestmark = pytest.mark.long


def objects_of(project: Path) -> dict[int, list[PathObject]]:
    with her2qp.open_project(project, backend="native") as opened:
        return {image.id: list(image.hierarchy.objects()) for image in opened.images}


def without_ours(obj: PathObject) -> tuple[Any, ...]:
    measurements = [(k, v) for k, v in obj.measurements.items() if k not in REGION_MEASUREMENTS]
    roi = obj.roi
    shape = None if roi is None else (roi.kind, roi.plane, shapely.to_wkb(roi.geometry))
    return (
        obj.id, obj.type, shape, str(obj.path_class), obj.name, obj.color, obj.locked, dict(obj.metadata),
        repr(measurements), obj.parent, repr(obj.class_probability),
    )  # fmt: skip


def score(project: Path, backend: str, **settings: Any) -> Any:
    return her2qp.score(project, images=[CMU], backend=backend, **settings)


@pytest.fixture(params=["native", pytest.param("paquo", marks=pytest.mark.qupath)])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "paquo":
        request.getfixturevalue("qupath_dir")
    return str(request.param)


def test_score_adds_tiles_where_the_tumour_is_and_changes_nothing_else(golden: Path, backend: str) -> None:
    project = golden / "project"
    before = objects_of(project)
    result = score(project, backend)
    assert result.exit_code == 0 and result.backend == backend
    (outcome,) = result.outcomes
    assert outcome.score is not None and outcome.notes == ()

    after = objects_of(project)
    ids_are_new = backend == "paquo" and golden.name.endswith("0.3.2")  # QuPath gives ids to objects that had none
    hers = [o for o in after[3] if o.type is not ObjectType.TILE]
    if not ids_are_new:
        assert [without_ours(o) for o in hers] == [without_ours(o) for o in before[3]]
    assert [[without_ours(o) for o in after[i]] for i in (1, 2)] == [
        [without_ours(o) for o in before[i]] for i in (1, 2)
    ]

    reference = json.loads((golden / "reference.json").read_text(encoding="utf-8"))
    shapes = {o["cls"]: shapely.from_wkt(o["wkt"]) for o in reference["images"][2]["objects"]}
    allowed = shapes["Tumor"].difference(shapes["Ignore*"])
    with her2qp.open_project(project, backend="native") as opened:
        entry = opened.image(CMU)
        tiles = entry.tiles()
        (tumor,) = [a for a in entry.annotations if str(a.path_class) == "Tumor"]
        metadata = dict(entry.metadata)
        classes = [str(c) for c in opened.path_classes]
    assert len(tiles) == len(outcome.score.tiles) > 20
    assert set(tiles.parent_ids) == {tumor.id}
    assert tiles.names == tile_measurements(Scheme.GRADES)
    footprints = shapely.box(*tiles.bounds.T)
    shares = shapely.area(shapely.intersection(footprints, allowed)) / shapely.area(footprints)
    np.testing.assert_allclose(tiles.column("Region fraction"), shares, atol=1e-5)
    assert (shares >= 0.5 - 1e-6).all()
    assert shapely.contains(allowed, shapely.centroid(footprints)).mean() > 0.95
    assert shapely.area(shapely.union_all(footprints)) == pytest.approx(shapely.area(footprints).sum())
    probabilities = np.column_stack([tiles.column(f"HER2 p({g})") for g in ("0", "1+", "2+", "3+")])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert tiles.column("HER2 attention").min() == 0 and tiles.column("HER2 attention").max() == 1
    assert tiles.column("HER2 attention raw").sum() == pytest.approx(1, abs=1e-4)
    named = [tiles.classes[i].names for i in tiles.class_index]
    assert named == [(f"HER2 {('0', '1+', '2+', '3+')[i]}",) for i in probabilities.argmax(axis=1)]
    said = {f"HER2 p({g})" for g in ("0", "1+", "2+", "3+")}
    assert set(tumor.measurements) == {*said, "HER2 tiles", "HER2 attention share", "HER2 run"}
    assert set(metadata) == {*said, *(f"HER2 {key}" for key in ("predicted", "group", "status", "model", "run"))}
    assert {"HER2 0", "HER2 1+", "HER2 2+", "HER2 3+"} <= set(classes)


def test_clear_restores_every_object_and_the_class_list(golden: Path, backend: str) -> None:
    project = golden / "project"
    before, files = objects_of(project), contents(project)
    score(project, backend)
    assert contents(project) != files
    outcomes = her2qp.clear(project, backend=backend)
    assert sum(o.tiles for o in outcomes) > 20 and not any(o.error for o in outcomes)
    after = objects_of(project)
    if not (backend == "paquo" and golden.name.endswith("0.3.2")):
        assert [[without_ours(o) for o in after[i]] for i in after] == [
            [without_ours(o) for o in before[i]] for i in before
        ]
        assert [
            [dict(o.measurements) for o in v if o.type is ObjectType.ANNOTATION] for v in after.values()
        ].__repr__() == (
            [[dict(o.measurements) for o in v if o.type is ObjectType.ANNOTATION] for v in before.values()].__repr__()
        )
    now = contents(project)
    assert now["project.qpproj"] == files["project.qpproj"]
    assert now["classifiers/classes.json"] == files["classifiers/classes.json"]
    if backend == "native":
        assert now == files


def test_undo_restores_the_bytes(golden: Path, backend: str) -> None:
    project = golden / "project"
    files = contents(project)
    score(project, backend)
    assert contents(project) != files
    her2qp.undo(project)
    assert contents(project) == files


def test_a_second_run_replaces_the_first_and_differs_in_nothing_but_the_run(golden: Path, backend: str) -> None:
    project = golden / "project"
    score(project, backend)
    first = objects_of(project)[3]
    score(project, backend)
    second = objects_of(project)[3]
    assert [o.id for o in second if o.type is ObjectType.TILE] == [o.id for o in first if o.type is ObjectType.TILE]

    def comparable(objects: list[PathObject]) -> list[Any]:
        return [(without_ours(o), {k: v for k, v in o.measurements.items() if k != "HER2 run"}) for o in objects]

    assert repr(comparable(second)) == repr(comparable(first))
    assert {o.measurements["HER2 run"] for o in second if "HER2 run" in o.measurements} == {2.0}


def test_her_own_metadata_measurements_and_classes_are_kept(golden: Path) -> None:
    project = golden / "project"
    with her2qp.open_project(project, mode="r+", backend="native") as opened:
        entry = opened.image(CMU)
        entry.metadata = {**entry.metadata, "HER2 status": "IHC 2+, ISH amplified"}
        entry.save()
        mine = next(c for c in opened.path_classes if str(c) == "Tumor")
        opened.path_classes = (*opened.path_classes, type(mine)(("HER2 0",), -1))
        opened.save()
    files = contents(project)
    result = score(project, "native")
    (outcome,) = result.outcomes
    assert any("HER2 status" in note for note in outcome.notes)
    with her2qp.open_project(project, backend="native") as opened:
        assert opened.image(CMU).metadata["HER2 status"] == "IHC 2+, ISH amplified"
        assert next(c for c in opened.path_classes if str(c) == "HER2 0").color == -1
    her2qp.clear(project, backend="native")
    assert contents(project) == files


def test_a_dry_run_writes_nothing_at_all(golden: Path) -> None:
    project = golden / "project"
    files = contents(project)
    result = score(project, "native", dry_run=True)
    assert result.exit_code == 0
    assert result.outcomes[0].planned > 20
    assert contents(project) == files
    assert not (project / "her2qp").exists()


def test_ids_of_tiles_are_uuids_of_version_five(golden: Path) -> None:
    score(golden / "project", "native")
    with her2qp.open_project(golden / "project", backend="native") as opened:
        ids = opened.image(CMU).tiles().ids
    assert {UUID(bytes=row.tobytes()).version for row in ids} == {5}
