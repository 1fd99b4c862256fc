"""Tissue microarrays: every core is a case of its own, and the grid stays as QuPath made it.

``tma.qpdata`` was saved by QuPath 0.5.1: a grid of two by two cores on the example slide, the core A-2 marked missing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import pytest
import shapely
from support import contents, run

import her2qp
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ObjectType, PathObject, Roi, RoiKind
from her2qp.scheme import Scheme
from her2qp.scoring.vocabulary import RUN_KEY

SPACE = UUID("5c0ffee0-0000-4000-8000-000000000007")
CORES = ["A-1", "A-2", "B-1", "B-2"]


@pytest.fixture
def tma(example: Path) -> Path:
    """The example project, its slide taken for a tissue microarray."""
    project = example / "project"
    shutil.copyfile(Path(__file__).with_name("tma.qpdata"), project / "data" / "1" / "data.qpdata")
    return project


@pytest.fixture(params=["native", pytest.param("paquo", marks=[pytest.mark.qupath, pytest.mark.long])])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "paquo":
        request.getfixturevalue("qupath_dir")
    return str(request.param)


def score(project: Path, **settings: Any) -> Any:
    (outcome,) = her2qp.score(project, **{"backend": "native", "tma": True, **settings}).outcomes
    return outcome


def annotate(project: Path, name: str, *boxes: tuple[float, float, float, float]) -> None:
    rois = [Roi(RoiKind.RECTANGLE, shapely.box(*box)) for box in boxes]
    objects = (PathObject(uuid5(SPACE, repr(roi)), ObjectType.ANNOTATION, roi, PathClass((name,))) for roi in rois)
    with her2qp.open_project(project, mode="r+", backend="native") as opened:
        (image,) = opened.images
        image.edit(HierarchyEdit(add_objects=tuple(objects)))
        image.save()


def cores_of(project: Path, backend: str = "native") -> list[PathObject]:
    with her2qp.open_project(project, backend=backend) as opened:
        return list(opened.images[0].tma_cores)


def predictions(regions: Iterable[Any]) -> dict[str, list[float]]:
    return {r.region.core.name: r.probabilities.tolist() for r in regions}


def test_each_core_that_is_not_missing_gets_its_own_tiles_and_measurements(tma: Path, backend: str) -> None:
    before = cores_of(tma)
    outcome = score(tma, backend=backend)
    after = cores_of(tma, backend)
    assert [core.name for core in after] == CORES
    scored = {"A-1", "B-1", "B-2"}
    with her2qp.open_project(tma, backend="native") as opened:
        (image,) = opened.images
        tiles, metadata = image.tiles(), dict(image.metadata)
    for old, new in zip(before, after, strict=True):
        ours = {name: value for name, value in new.measurements.items() if name not in old.measurements}
        assert (new.id, dict(new.metadata), new.is_missing, new.roi) == (
            old.id, dict(old.metadata), old.is_missing, old.roi,
        )  # fmt: skip
        assert {**new.measurements, **old.measurements} == dict(new.measurements)
        if new.name not in scored:
            assert not ours
            continue
        rows = tiles.parent_index == tiles.parent_ids.index(new.id)
        assert ours.pop("HER2 tiles") == rows.sum() > 0
        assert ours.pop("HER2 run") == 1
        assert list(ours) == [f"HER2 p({grade})" for grade in Scheme.GRADES.classes]
        assert sum(ours.values()) == pytest.approx(1, abs=1e-5)
        footprints = shapely.box(*tiles.bounds[rows].T)
        shares = shapely.area(shapely.intersection(footprints, new.geometry)) / shapely.area(footprints)
        np.testing.assert_allclose(tiles.column("Region fraction")[rows], shares, atol=1e-5)
        assert tiles.column("HER2 attention raw")[rows].sum() == pytest.approx(1, abs=1e-5)
        assert tiles.column("HER2 attention")[rows].max() == 1
    predicted = [r.predicted for r in outcome.score.regions]
    assert metadata["HER2 cores"] == ", ".join(f"{grade}: {predicted.count(grade)}" for grade in Scheme.GRADES.classes)
    assert set(metadata) == {"HER2 cores", "HER2 status", "HER2 model", RUN_KEY}


def test_clear_and_undo_restore_what_was_there(tma: Path, backend: str) -> None:
    files, cores = contents(tma), cores_of(tma)
    score(tma, backend=backend)
    score(tma, backend=backend)
    (cleared,) = her2qp.clear(tma, backend=backend)
    assert (cleared.annotations, cleared.error) == (3, "") and cleared.tiles > 3
    assert repr(cores_of(tma)) == repr(cores)
    if backend == "native":
        assert contents(tma) == files
    for _ in range(3):
        her2qp.undo(tma)
    assert contents(tma) == files


def test_a_core_does_not_depend_on_the_other_cores(tma: Path) -> None:
    together = predictions(score(tma).score.regions)
    annotate(tma, "Ignore*", (0, 0, 1500, 3072), (0, 0, 3072, 1500))
    alone = score(tma)
    assert predictions(alone.score.regions) == {"B-2": together["B-2"]}
    assert {left.core.name: left.reason for left in alone.left_out} == {
        "A-1": "covered by excluded annotations or other cores",
        "A-2": "marked missing",
        "B-1": "covered by excluded annotations or other cores",
    }


def test_annotated_tumour_restricts_the_cores_and_whole_tissue_does_not(tma: Path) -> None:
    annotate(tma, "Tumor", (1632, 1632, 2600, 3072))
    outcome = score(tma)
    (region,) = outcome.score.regions
    assert region.region.core.name == "B-2"
    assert shapely.bounds(region.region.geometry)[2] <= 2600
    assert {left.core.name: left.reason for left in outcome.left_out} == {
        "A-1": "no annotation of class Tumor in it",
        "A-2": "marked missing",
        "B-1": "no annotation of class Tumor in it",
    }
    (core,) = [core for core in cores_of(tma) if core.name == "B-2"]
    assert core.measurements["HER2 tiles"] == region.tiles
    whole = score(tma, whole_tissue=True)
    assert {r.region.core.name for r in whole.score.regions} == {"A-1", "B-1", "B-2"}


def test_one_case_pooled_from_a_grid_is_pointed_out(tma: Path) -> None:
    outcome = score(tma, tma=False, whole_tissue=True)
    assert any("tissue microarray of 4 cores" in note and "--tma" in note for note in outcome.notes)
    with her2qp.open_project(tma, backend="native") as opened:
        assert "HER2 predicted" in opened.images[0].metadata
    score(tma)
    with her2qp.open_project(tma, backend="native") as opened:
        assert "HER2 predicted" not in opened.images[0].metadata
        assert None not in opened.images[0].tiles().parent_ids


def test_the_command_line_names_the_cores_and_reports_them(tma: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    files = contents(tma)
    dry = run("score", tma, "--tma", "--dry-run", "--backend", "native")
    assert dry.returncode == 0 and contents(tma) == files
    assert " in 3 cores would be scored" in dry.stdout and "marked missing" in dry.stdout
    done = run("score", tma, "--tma", "--json", "--report", report, "--backend", "native")
    (image,) = json.loads(done.stdout)["images"]
    assert image["predicted"] is None and image["probabilities"] is None
    assert sum(image["cores"].values()) == 3
    rows = {row["core"]["name"]: row for row in image["regions"]}
    assert {name: row["core"]["missing"] for name, row in rows.items()} == {n: n == "A-2" for n in CORES}
    assert {name: row["core"]["case_id"] for name, row in rows.items()} == dict(
        zip(CORES, ["P-17", "P-17", "P-6", "P-7"], strict=True)
    )
    assert rows["A-2"]["probabilities"] is None and rows["A-2"]["reason"] == "marked missing"
    page = report.read_text(encoding="utf-8")
    assert all(f"<td>{name}</td>" in page for name in CORES) and "not scored: marked missing" in page


@pytest.mark.parametrize("name", [b"Case ID", b"Unique ID"])
def test_the_case_is_known_by_its_name_before_qupath_0_4_too(tma: Path, backend: str, name: bytes) -> None:
    file = tma / "data" / "1" / "data.qpdata"
    file.write_bytes(file.read_bytes().replace(b"t\x00\x07Case ID", b"t\x00" + bytes([len(name)]) + name))
    assert score(tma, backend=backend).reason == ""
    assert [core.case_id for core in cores_of(tma)] == ["P-17", "P-17", "P-6", "P-7"]


def test_an_image_without_a_grid_is_skipped(example: Path) -> None:
    outcome = score(example / "project")
    assert (str(outcome.status), outcome.reason) == ("skipped", "no TMA core")


def test_inspect_counts_the_cores(tma: Path) -> None:
    (image,) = json.loads(run("inspect", tma, "--json").stdout)["images"]
    assert image["tma_cores"] == {"present": 3, "missing": 1}
    assert "TMA cores 3 (1 missing)" in " ".join(run("inspect", tma).stdout.split())
