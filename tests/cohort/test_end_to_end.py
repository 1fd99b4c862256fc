"""From projects and labels to a model that scores a project: features, cohort, crossval, score. All labels invented."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import shapely
from support import run

import her2qp
from her2qp.demonstration.annotated import TUMOR, annotation
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ImageType
from her2qp.qupath.project import Project
from her2qp.slides import open_slide

GRADES = ("0", "1+", "2+", "3+")
LABEL = "HER2 invented"
CONFIG = """
artificial: true
model: {architecture: abmil, hyperparameters: {width: 16}}
fit: {epochs: 3, learning_rate: 0.01, patience: 3}
protocol: {kind: crossval, folds: 2, validation_folds: 2}
judging: {replicates: 50, permutations: 20, retrained_permutations: 1, attention_slides: 1}
"""


def ask(*words: object) -> dict[str, object]:
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, object] = json.loads(done.stdout)
    return document


def add_slide(project: Project, slide: Path, box: tuple[float, float, float, float], mpp: float, **told: str) -> None:
    """Add a slide with a rectangle of tumour."""
    with open_slide(slide) as opened:
        size = opened.size
    entry = project.add_image(slide, size=size, mpp=(mpp, mpp), image_type=ImageType.BRIGHTFIELD_H_E, metadata=told)
    entry.edit(HierarchyEdit(add_objects=(annotation(slide.name, shapely.box(*box), TUMOR),)))
    entry.save()


def train_and_score(projects: Sequence[Path], folder: Path, options: Sequence[str] = ()) -> list[dict[str, object]]:
    """Run the four verbs, and return what `score` says of the images of the last project."""
    table, settings = folder / "cohort.csv", folder / "crossval.yaml"
    settings.write_text(CONFIG, encoding="utf-8")
    filled = ask("features", *projects, *options)
    assert {image["status"] for image in filled["images"]} <= {"extracted", "skipped"}
    ask("cohort", *projects, table, "--label-column", LABEL)
    trained = ask("crossval", table, "--config", settings, "--out", folder / "run")
    assert "artificial" in str(trained["notice"]) or "invented" in str(trained["notice"])
    scored = ask("score", projects[-1], "--model", folder / "run" / "bundle", "--backend", "native", *options)
    assert scored["notice"] and "esearch use only" in str(scored["notice"])
    return scored["images"]


def test_drawn_slides_with_invented_labels(example: Path, tmp_path: Path) -> None:
    with her2qp.create_project(tmp_path / "p") as project:
        for k in range(16):
            slide = shutil.copy(example / "slide ä 1.svs", tmp_path / f"case-{k:02d}_HE.svs")
            told = {LABEL: GRADES[k % 4], "Patient ID": f"case-{k:02d}"}
            add_slide(project, slide, (512, 512, 2048, 1536), 0.25, **told)
    images = train_and_score([tmp_path / "p"], tmp_path)
    assert [image["status"] for image in images] == ["scored"] * 16
    with her2qp.open_project(tmp_path / "p", backend="native") as project:
        tiles = project.images[0].tiles()
        assert len(tiles) == images[0]["tiles"] > 0 and "HER2 attention" in tiles.names
        assert project.images[0].metadata[LABEL] == "0"
    again = ask("features", tmp_path / "p")
    assert sum(image["computed"] for image in again["images"]) == 0


@pytest.mark.long
def test_projects_that_qupath_wrote_with_invented_labels(shared: Path, tmp_path: Path) -> None:
    projects = []
    for version in ("0.3.2", "0.4.4", "0.5.1", "0.6.0", "0.7.0"):
        copy = shutil.copytree(shared / "golden" / version, tmp_path / version)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        projects.append(copy / "project")
    with her2qp.open_project(projects[-1], "r+", "native") as project:
        for k in range(6):
            slide = shutil.copy(tmp_path / "0.7.0" / "images" / "CMU-1-Small-Region.svs", tmp_path / f"copy{k}.svs")
            add_slide(project, slide, (300 + 100 * k, 400, 1300 + 100 * k, 1400), 0.499)
    number = 0
    for path in projects:
        with her2qp.open_project(path, "r+", "native") as project:
            for image in project.images:
                image.metadata = {
                    **image.metadata,
                    LABEL: GRADES[number % 4],
                    "patient": f"{path.parent.name}-{image.id}",
                }
                image.save()
                number += image.image_type is not ImageType.BRIGHTFIELD_H_DAB
    images = train_and_score(projects, tmp_path)
    assert [image["status"] for image in images].count("scored") >= 8
    joined = ask("cohort", *projects, tmp_path / "c.csv", "--label-column", LABEL)
    assert [image["why"] for image in joined["left_out"]] == ["not H&E"] * 5 and joined["patients"] == 16
    assert "0.3.2/project/slide_a.svs" in (tmp_path / "c.csv").read_text(encoding="utf-8").split(",")


@pytest.mark.long
def test_six_real_fields_and_a_real_slide_go_all_the_way(shared: Path, tmp_path: Path) -> None:
    """Nothing is concluded from six fields: their grades are real, and the model learns nothing of them."""
    fields = sorted((shared / "data" / "brca_tiles").glob("*.tif"))
    with her2qp.create_project(tmp_path / "fields") as project:
        for field in fields:
            project.add_image(field, size=(1000, 1000), image_type=ImageType.BRIGHTFIELD_H_E)
    real = tmp_path / "fields"
    without = run("features", real, "--whole-tissue")
    assert without.returncode == 1 and "--mpp" in without.stderr
    pixels = ("--whole-tissue", "--mpp", "0.25")
    filled = ask("features", real, *pixels)
    assert [image["status"] for image in filled["images"]] == ["extracted"] * 6
    labels = shared / "data" / "labels" / "tcga_brca_her2_ihc_labels_derived.csv"
    columns = ("--labels", labels, "--label-column", "her2_ihc_score", "--ish-column", "her2_fish_status")
    joined = ask("cohort", real, tmp_path / "cohort.csv", *columns)
    assert (joined["slides"], joined["patients"], joined["sites"]) == (6, 6, 4)
    assert joined["counts"] == {"0": 0, "1+": 2, "2+": 3, "3+": 1} and len(joined["labels_without_image"]) > 600

    from her2qp.cohort import Cohort
    from her2qp.cohort.bags import load_features
    from her2qp.models.abmil import ABMIL, ABMILConfig
    from her2qp.models.bundle import Bundle
    from her2qp.models.bundle_config import Training
    from her2qp.training.fit import Examples, FitSettings, fit

    cohort = Cohort.read(tmp_path / "cohort.csv", "her2_ihc_score")
    found = load_features(cohort, whole_tissue=True, mpp=0.25)
    assert all(1 <= len(bag) <= 4 for bag in found.bags) and {bag.tile_um for bag in found.bags} == {128.0}
    model = ABMIL(ABMILConfig(dimension=found.features.dimension, classes=4, width=8))
    fit(model, Examples(found.bags, cohort.labels.tolist()), None, FitSettings(epochs=2))
    training = Training(data="six fields, no result", artificial=True, seeds=(0,), versions={}, date="2026-01-01")
    Bundle.create(model, found.features, training, name="six-fields", results="none").save(tmp_path / "b")

    slide = shared / "data" / "wsi" / "CMU-1-Small-Region.svs"
    with her2qp.create_project(tmp_path / "cmu") as project:
        add_slide(project, slide, (200, 200, 2000, 2500), 0.499)
    for path, options in ((real, pixels), (tmp_path / "cmu", ())):
        images = ask("score", path, "--model", tmp_path / "b", "--backend", "native", *options)["images"]
        assert all(image["status"] == "scored" and image["predicted"] in GRADES for image in images)
