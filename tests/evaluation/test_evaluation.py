"""An evaluation has the baselines beside it and says what its figures do not show."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from evaluation.cases import make_predictions
from evaluation.tcga import read_tcga
from sklearn.metrics import roc_auc_score

from her2qp.errors import EvaluationError
from her2qp.evaluation import (
    AttentionMap,
    Evidence,
    Predictions,
    evaluate,
    faithfulness_curves,
    site_only,
    write_report,
)
from her2qp.evaluation.calibration import reliability
from her2qp.evaluation.metrics import summarise

FEW = {"replicates": 60, "permutations": 30}


class Page(HTMLParser):
    """Tags that are open, text, and whatever would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith("data:")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def rich_predictions(name: str, **settings: object) -> Predictions:
    p = make_predictions(90, name=name, **settings)
    rng = np.random.default_rng(2)
    covariates = {"ER": np.where(rng.random(90) < 0.5, "Positive", "Negative"), "area": rng.random(90)}
    return replace(p, covariates=covariates)


def test_everything_asked_for_is_there_and_goes_into_json() -> None:
    p = rich_predictions("mine")
    evidence = Evidence(
        clinical=["ER"],
        tumour_area="area",
        validation=make_predictions(50, seed=4, prefix="V"),
        members=[make_predictions(90, noise_seed=k) for k in range(3)],
        embeddings={"noise": np.random.default_rng(0).normal(size=(90, 5))},
        permuted=[make_predictions(90, noise_seed=k, signal=0) for k in range(4)],
    )
    found = evaluate(p, evidence, **FEW)
    assert set(found.site_probe) == {"noise", "majority"}
    chance = [summarise(each)["accuracy"] for each in evidence.permuted]
    assert found.retrained["accuracy"].estimate == pytest.approx(np.mean(chance))
    assert min(chance) <= found.retrained["accuracy"].low < found.retrained["accuracy"].high <= max(chance)
    assert list(found.baseline_metrics) == ["majority class", "site only", "clinical only", "tumour area only"]
    assert found.metrics["accuracy"].estimate == summarise(p)["accuracy"]
    assert set(found.thresholds) == {"0 | ≥1+", "≤1+ | ≥2+", "<3+ | 3+"}
    accuracies = [summarise(make_predictions(90, noise_seed=k))["accuracy"] for k in range(3)]
    assert found.member_spread["accuracy"] == pytest.approx((np.mean(accuracies), np.std(accuracies, ddof=1)))
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["baselines"]["majority class"]["accuracy"]["estimate"] == pytest.approx(p.counts.max() / 90)
    assert np.sum(document["confusion"]) == 90
    assert set(document["auc_within_sites"]) == {"0", "1+", "2+", "3+"}


def test_several_slides_of_a_patient_are_judged_once_unless_asked_otherwise() -> None:
    p = make_predictions(40, slides_each=2)
    assert len(evaluate(p, **FEW).predictions) == 40
    assert len(evaluate(p, by="slide", **FEW).predictions) == 80


def test_baselines_learn_from_the_training_cases_where_there_are_any() -> None:
    p = make_predictions(60)
    training = make_predictions(200, seed=7, prefix="T")
    commonest = int(training.counts.argmax())
    found = evaluate(p, Evidence(training=training), **FEW)
    assert found.baseline_metrics["majority class"]["accuracy"].estimate == np.mean(p.labels == commonest)
    assert found.notes == (
        "100% of the judged cases come from sites that the model learnt from: the figures hold for those.",
    )
    elsewhere = replace(training, sites=np.full(200, "elsewhere"))
    assert evaluate(p, Evidence(training=elsewhere), **FEW).notes == (
        "No judged case comes from a site that the model learnt from.",
    )
    assert any("out of fold" in note for note in evaluate(p, **FEW).notes)


def test_baselines_learn_out_of_the_folds_of_the_model() -> None:
    p = make_predictions(80)
    whole_sites = {patient: int(site[1:]) for patient, site in zip(p.patients, p.sites, strict=True)}
    by_site = evaluate(p, Evidence(fold_of=whole_sites), **FEW)
    overall = [p.take(p.sites != site).counts / (p.sites != site).sum() for site in p.sites]
    np.testing.assert_allclose(by_site.baselines["site only"].probabilities, overall)
    assert any("same folds as the model" in note for note in by_site.notes)


def test_embeddings_that_cannot_be_probed_are_a_note() -> None:
    p = replace(make_predictions(40), sites=np.full(40, "one"))
    found = evaluate(p, Evidence(embeddings={"noise": np.ones((40, 2))}), **FEW)
    assert found.site_probe == {} and any("not probed for the site: fewer than two sites" in n for n in found.notes)


def test_a_patient_who_was_learnt_from_is_not_judged() -> None:
    p = make_predictions(60)
    with pytest.raises(EvaluationError, match="5 of the judged patients are among the training cases, P0 for one"):
        evaluate(p, Evidence(training=p.take(np.arange(5))), **FEW)
    with pytest.raises(EvaluationError, match="1 of the judged patients are among the validation cases"):
        evaluate(p, Evidence(validation=p.take(np.array([3]))), **FEW)
    other = make_predictions(60, classes=("0", "low", "positive"), prefix="T")
    with pytest.raises(EvaluationError, match="the classes of training are 0, low, positive"):
        evaluate(p, Evidence(training=other), **FEW)


def test_a_model_that_reads_the_site_is_told_so(shared: Path) -> None:
    cases = read_tcga(shared)
    found = evaluate(cases.judged(site_only(cases, cases), "site reader"), **FEW)
    assert found.metrics["auc_macro_ovr"].estimate > 0.63
    said = " ".join(found.cautions)
    assert "Within sites, the AUC of 0 is 0.500" in said


def test_a_model_that_knows_nothing_is_told_so_and_a_good_one_is_not() -> None:
    useless, good = make_predictions(200, signal=0), make_predictions(200, signal=4)
    said = " ".join(evaluate(useless, **FEW).cautions)
    assert "it may be chance" in said
    assert "the baseline 'majority class'" in said
    assert evaluate(good, **FEW).cautions == []


def test_missing_sites_and_classes_are_said() -> None:
    p = make_predictions(60)
    unplaced = replace(p, sites=None)
    found = evaluate(unplaced, **FEW)
    assert "site only" not in found.baseline_metrics
    assert any("sites are not known" in note for note in found.notes)
    without = evaluate(p.take(p.labels != 0), **FEW)
    assert any("AUC, macro OvR is not defined: a class is absent" in c for c in without.cautions)
    assert without.to_json()["metrics"]["auc_macro_ovr"]["estimate"] is None
    with pytest.raises(EvaluationError, match=r"all \d+ cases are 2\+"):
        evaluate(p.take(p.labels == 2), **FEW)
    single = p.take(np.r_[np.flatnonzero(p.labels != 1), np.flatnonzero(p.labels == 1)[:1]])
    assert any("single patient" in note for note in evaluate(single, **FEW).notes)


def test_reliability_by_hand() -> None:
    found = reliability(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, True, True, True]), bins=2)
    assert found.predicted == pytest.approx([0.15, 0.85])
    assert found.observed == pytest.approx([0.5, 1.0])
    assert found.cases.tolist() == [2, 2]
    assert len(reliability(np.full(9, 0.25), np.arange(9) < 3).cases) == 1


def test_the_report_is_one_file_with_two_models_and_all_figures(tmp_path: Path) -> None:
    one, other = rich_predictions("KAT <script>", signal=2), rich_predictions("SlideGraph+", noise_seed=6)
    tiles = np.arange(12.0)
    curves = [faithfulness_curves(lambda bags: np.array([rows.mean() / 12 for rows in bags]), tiles)] * 3
    grid = np.stack(np.divmod(np.arange(12), 4), axis=1) * 128.0
    maps = [AttentionMap(s, p, grid, 128, tiles) for s, p in zip(one.slides, one.patients, strict=True)]
    evaluation = evaluate(one, Evidence(clinical=["ER"], faithfulness=curves), **FEW)
    data = write_report(tmp_path / "found.html", evaluation, evaluate(other, **FEW), maps=maps)
    text = (tmp_path / "found.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open, "every tag is closed"
    assert "script" not in page.tags
    assert page.fetched == []
    assert page.tags.count("svg") == 4 + 4 + 3 + 2  # ROC, calibration, thresholds, faithfulness
    assert page.tags.count("img") == 8
    shown = re.sub(r"\s+", " ", page.text)
    for words in ("For research use only", "does not replace IHC", "site only", "clinical only", "labels permuted"):
        assert words in shown
    assert f"{evaluation.metrics['auc_macro_ovr'].estimate:.3f}" in shown
    document = json.loads(data.read_text(encoding="utf-8"))
    assert [e["model"] for e in document["evaluations"]] == ["KAT <script>", "SlideGraph+"]
    auc = {e["model"]: e["metrics"]["auc(3+)"]["estimate"] for e in document["evaluations"]}
    assert auc["SlideGraph+"] == pytest.approx(roc_auc_score(other.labels == 3, other.probabilities[:, 3]))
    difference = document["comparison"]["delong_auc_one_vs_rest"]["3+"]["estimate"]
    assert difference == pytest.approx(auc["KAT <script>"] - auc["SlideGraph+"])
    assert "For research use only" in document["research_use"]


def test_the_report_of_two_classes_without_sites(tmp_path: Path) -> None:
    p = replace(make_predictions(50, classes=("negative", "positive"), slides_each=2), sites=None)
    write_report(tmp_path / "binary.html", evaluate(p, by="slide", **FEW), evaluate(p, by="slide", **FEW))
    page = Page((tmp_path / "binary.html").read_text(encoding="utf-8"))
    assert "negative | positive" in page.text
    assert "site only" not in page.text
    with pytest.raises(EvaluationError, match=r"ends in \.html"):
        write_report(tmp_path / "predictions.json", evaluate(p, **FEW))
    with pytest.raises(EvaluationError, match="cannot be written"):
        write_report(tmp_path / "nowhere" / "x.html", evaluate(p, **FEW))
