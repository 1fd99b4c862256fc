"""Whether attention found what was planted, and the figure that shows results."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import her2qp
from her2qp.evaluation.intervals import Interval
from her2qp.models.abmil import ABMIL, ABMILConfig
from her2qp.studies import CohortDesign, make_artificial_cohort
from her2qp.studies.forest import ForestRow, forest_plot
from her2qp.studies.planted import attention_finds, finding_auc, mean_interval
from her2qp.studies.slides import LABEL_KEY, SITE_KEY, make_artificial_project
from her2qp.training.fit import Examples, FitSettings, fit


def test_the_auc_of_attention_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    planted, attention = rng.random(200) < 0.3, rng.integers(0, 20, 200) / 20
    assert finding_auc(attention, planted) == pytest.approx(roc_auc_score(planted, attention))
    assert np.isnan(finding_auc(attention, np.ones(200, bool)))


def test_attention_of_a_trained_model_finds_a_strong_signal_and_that_of_an_untrained_one_does_not() -> None:
    design = CohortDesign(counts=(20, 1, 1, 20), tiles=30, dimension=8, signal=6.0, site_shift=0.0, sites=1)
    made, other = (make_artificial_cohort(design.model_copy(update={"seed": seed})) for seed in (1, 2))
    torch.manual_seed(0)
    model = ABMIL(ABMILConfig(dimension=8, classes=4, width=16, dropout=0.0))
    judged = [(model, bag, mask) for bag, mask in zip(other.features.bags, other.planted, strict=True)]
    before = attention_finds(judged, replicates=200)
    settings = FitSettings(epochs=15, learning_rate=2e-2, batch_size=8, balanced=False)
    fit(model, Examples(made.features.bags, made.cohort.labels.tolist()), None, settings)
    after = attention_finds(judged, replicates=200)
    assert after.low > 0.75 > before.high and after.low <= after.estimate <= after.high


def test_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 400).tolist()
    found = mean_interval(values)
    half = 1.96 * np.std(values) / 20
    assert found.estimate == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx((found.estimate - half, found.estimate + half), abs=0.002)
    assert np.isnan(mean_interval([]).estimate)


def test_the_forest_plot_is_an_svg_with_every_result() -> None:
    rows = [ForestRow("a <model>", Interval(0.65, 0.5, 0.8)), ForestRow("site", Interval(0.2, 0.1, 1.0), True)]
    root = ElementTree.fromstring(forest_plot([("arm & leg", rows)], "AUC"))  # noqa: S314 - our own
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"arm & leg", "a <model>", "0.650 (0.500 to 0.800)"} <= set(texts)
    circles = [element for element in root.iter() if element.tag.endswith("circle")]
    assert [c.get("class") for c in circles] == ["model", "baseline"]
    assert [float(c.get("cx", "")) for c in circles] == [480.0, 330.0]


@pytest.mark.long
def test_a_project_of_drawings_names_patient_site_and_invented_label(tmp_path: Path) -> None:
    path = make_artificial_project(tmp_path, [0, 3], side_px=1792, seed=5)
    joined = her2qp.make_cohort([path], tmp_path / "c.csv", label_column=LABEL_KEY, site_column=SITE_KEY)
    rows = [(row.patient, row.filename, row.label, row.site) for row in joined.cohort.rows]
    assert rows == [
        ("D5-001", "drawing-001.svs", "0", "drawing table 1"), ("D5-002", "drawing-002.svs", "3+", "drawing table 1")
    ]  # fmt: skip
    with her2qp.open_project(path) as project:
        assert all("Tumor" in {str(a.path_class) for a in image.annotations} for image in project.images)
