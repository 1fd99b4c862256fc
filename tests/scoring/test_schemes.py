"""Models that tell 0, low and positive apart, or negative and positive: the main job with their own classes."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scoring.test_tma import tma as tma
from support import contents, run

import her2qp
from her2qp.features import DEFAULT_EXTRACTOR, extractor_info
from her2qp.models.abmil import ABMIL, ABMILConfig
from her2qp.models.bundle import Bundle
from her2qp.models.bundle_config import Training
from her2qp.qupath.edits import HierarchyEdit
from her2qp.scheme import Scheme

CMU = "CMU-1-Small-Region.svs"


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[Scheme, Path]:
    """An untrained model for the classes of each scheme."""
    folder, info = tmp_path_factory.mktemp("bundles"), extractor_info(DEFAULT_EXTRACTOR)
    training = Training(data="nothing", artificial=True, seeds=(0,), versions={}, date=datetime.date(2026, 1, 1))
    for scheme in Scheme:
        torch.manual_seed(len(scheme.classes))
        model = ABMIL(ABMILConfig(dimension=info.dimension, classes=len(scheme.classes), width=8))
        Bundle.create(model, info, training, name=scheme, classes=scheme.classes).save(folder / scheme)
    return {scheme: folder / scheme for scheme in Scheme}


def score(project: Path, bundle: Path, *options: object) -> dict[str, Any]:
    done = run("score", project, "--model", bundle, "--backend", "native", "--json", *options)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def names_of(scheme: Scheme) -> list[str]:
    return [f"HER2 p({name})" for name in scheme.classes]


@pytest.mark.parametrize("scheme", Scheme)
def test_a_project_is_scored_and_cleared_in_the_classes_of_the_model(
    example: Path, bundles: dict[Scheme, Path], tmp_path: Path, scheme: Scheme
) -> None:
    project = example / "project"
    files = contents(project)
    document = score(project, bundles[scheme], "--report", tmp_path / "report.html")
    (image,) = document["images"]
    assert document["classes"] == [*image["probabilities"]] == [*scheme.classes]
    assert image["predicted"] == max(image["probabilities"], key=image["probabilities"].get)
    with her2qp.open_project(project, backend="native") as opened:
        (entry,) = opened.images
        tiles, (tumor,), metadata = entry.tiles(), entry.annotations, dict(entry.metadata)
        listed = {str(path_class) for path_class in opened.path_classes}
    probabilities = np.column_stack([tiles.column(name) for name in names_of(scheme)])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    found = [tiles.classes[i].names for i in tiles.class_index]
    assert found == [(f"HER2 {scheme.classes[k]}",) for k in probabilities.argmax(axis=1)]
    assert [name for name in tumor.measurements if "p(" in name] == names_of(scheme)
    assert [name for name in metadata if "p(" in name] == names_of(scheme)
    assert metadata["HER2 predicted"] == image["predicted"]
    assert metadata["HER2 group"] == scheme.groups[image["predicted"]]
    assert {name for name in listed if name.startswith("HER2 ")} == {f"HER2 {name}" for name in scheme.classes}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(f">p({name})<" in page for name in scheme.classes)
    assert run("inspect", project).returncode == 0
    (seen,) = json.loads(run("inspect", project, "--json").stdout)["images"]
    assert seen["problems"] == [] and seen["her2qp"]["metadata"] == metadata
    table = run("score", project, "--model", bundles[scheme], "--backend", "native")
    assert f"every class {1 / len(scheme.classes):.2f}" in table.stdout
    assert run("undo", project).returncode == 0
    assert run("clear", project, "--backend", "native").returncode == 0
    assert contents(project) == files


def test_a_model_of_other_classes_replaces_all_of_an_earlier_result(example: Path, bundles: dict[Scheme, Path]) -> None:
    project = example / "project"
    files = contents(project)
    for scheme in Scheme:
        score(project, bundles[scheme])
        with her2qp.open_project(project, backend="native") as opened:
            (entry,) = opened.images
            (tumor,) = entry.annotations
            for names in (entry.tiles().names, tumor.measurements, entry.metadata):
                assert sorted(name for name in names if "p(" in name) == sorted(names_of(scheme))
    for _ in Scheme:
        assert run("undo", project).returncode == 0
    assert contents(project) == files


@pytest.mark.parametrize("name", ["HER2 p(0)", "HER2 p(low)"])
def test_a_measurement_of_hers_stays_where_a_model_writes_that_name_and_where_another_would(
    example: Path, bundles: dict[Scheme, Path], name: str
) -> None:
    project = example / "project"
    with her2qp.open_project(project, mode="r+", backend="native") as opened:
        (entry,) = opened.images
        entry.edit(HierarchyEdit(set_measurements={entry.annotations[0].id: {name: 42.0}}))
        entry.save()
    files = contents(project)
    for scheme in (Scheme.GRADES, Scheme.LOW, Scheme.GRADES):
        score(project, bundles[scheme])
        with her2qp.open_project(project, backend="native") as opened:
            measured = dict(opened.images[0].annotations[0].measurements)
        assert measured.pop(name) == 42.0
        assert {found for found in measured if "p(" in found} == {*names_of(scheme)} - {name}
    assert run("clear", project, "--backend", "native").returncode == 0
    assert contents(project) == files


@pytest.mark.parametrize("scheme", [Scheme.LOW, Scheme.STATUS])
def test_cores_of_an_array_are_counted_by_the_classes_of_the_model(
    tma: Path, bundles: dict[Scheme, Path], tmp_path: Path, scheme: Scheme
) -> None:
    (image,) = score(tma, bundles[scheme], "--tma", "--report", tmp_path / "report.html")["images"]
    assert [*image["cores"]] == [*scheme.classes] and sum(image["cores"].values()) == 3
    with her2qp.open_project(tma, backend="native") as opened:
        (entry,) = opened.images
        spelt = ", ".join(f"{name}: {count}" for name, count in image["cores"].items())
        assert entry.metadata["HER2 cores"] == spelt and spelt in (tmp_path / "report.html").read_text("utf-8")
        scored = [core for core in entry.tma_cores if "HER2 run" in core.measurements]
        assert len(scored) == 3
        assert all([n for n in core.measurements if "p(" in n] == names_of(scheme) for core in scored)


def test_a_model_of_anything_else_than_her2_is_refused_in_one_sentence(example: Path, tmp_path: Path) -> None:
    info = extractor_info(DEFAULT_EXTRACTOR)
    training = Training(data="nothing", artificial=True, seeds=(0,), versions={}, date=datetime.date(2026, 1, 1))
    model = ABMIL(ABMILConfig(dimension=info.dimension, classes=2, width=8))
    Bundle.create(model, info, training, name="er", classes=("ER-", "ER+")).save(tmp_path / "er")
    done = run("score", example / "project", "--model", tmp_path / "er")
    assert done.returncode == 2
    assert "ER-, ER+" in done.stderr and "0, low, positive; negative, positive" in done.stderr


@pytest.mark.long
@pytest.mark.qupath
@pytest.mark.parametrize("golden", ["0.5.1"], indirect=True)
@pytest.mark.parametrize("scheme", [Scheme.LOW, Scheme.STATUS])
def test_qupath_reads_the_tiles_in_the_base_classes_of_the_model(
    golden: Path, qupath_dir: Path, bundles: dict[Scheme, Path], scheme: Scheme
) -> None:
    score(golden / "project", bundles[scheme], "--image", CMU)
    with (
        her2qp.open_project(golden / "project", backend="native") as native,
        her2qp.open_project(golden / "project", backend="paquo") as real,
    ):
        assert real.path_classes == native.path_classes
        its, mine = real.image(CMU).tiles(), native.image(CMU).tiles()
        assert [its.classes[i] for i in its.class_index] == [mine.classes[i] for i in mine.class_index]
        assert its.names == mine.names
        np.testing.assert_array_equal(its.values, mine.values)
        assert {c.names for c in its.classes} <= {(f"HER2 {name}",) for name in scheme.classes}
