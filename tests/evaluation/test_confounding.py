"""The audit finds a site that is there, and nothing where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation.cases import make_cases, make_predictions
from evaluation.tcga import read_tcga

from her2qp.errors import EvaluationError
from her2qp.evaluation.baselines import out_of_fold, site_only
from her2qp.evaluation.confounding import probe_site, stratified_auc, within_site_auc
from her2qp.evaluation.metrics import summarise
from her2qp.evaluation.predictions import Cases
from her2qp.training.folds import stratified_folds


def test_the_probe_tells_shifted_sites_and_does_not_invent_them() -> None:
    cases = make_cases(150, slides_each=2)
    site = np.unique(cases.sites, return_inverse=True)[1]
    noise = np.random.default_rng(0).normal(size=(300, 8))
    shifted = noise + 1.5 * np.eye(5)[site] @ np.random.default_rng(1).normal(size=(5, 8))
    seen, unseen = probe_site(cases, shifted), probe_site(cases, noise)
    assert summarise(seen.predictions)["accuracy"] > 0.7
    assert summarise(unseen.predictions)["accuracy"] < 0.35
    assert summarise(seen.majority)["accuracy"] <= 0.21
    assert seen.predictions.classes == ("S0", "S1", "S2", "S3", "S4")
    assert seen.left_out == 0


def test_sites_with_few_patients_are_left_out_and_counted() -> None:
    cases = make_cases(60)
    sites = cases.sites.copy()
    sites[:3] = "rare"
    probe = probe_site(replace(cases, sites=sites), np.random.default_rng(0).normal(size=(60, 4)))
    assert probe.left_out == 3
    assert "rare" not in probe.predictions.classes
    with pytest.raises(EvaluationError, match="no site to tell"):
        probe_site(replace(cases, sites=np.full(60, "one")), np.zeros((60, 4)))
    with pytest.raises(EvaluationError, match="finite"):
        probe_site(cases, np.full((60, 4), np.nan))


def test_stratified_auc_by_a_loop() -> None:
    p = make_predictions(70, decimals=1)
    scores, positive, site = p.probabilities[:, 2], p.labels == 2, np.arange(70) % 6
    weight_sum = total = 0.0
    for s in range(6):
        ones, others = scores[(site == s) & positive], scores[(site == s) & ~positive]
        won = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in ones for b in others)
        total += won / (len(ones) + len(others) + 1)
        weight_sum += len(ones) * len(others) / (len(ones) + len(others) + 1)
    assert stratified_auc(scores, positive, site, np.ones((1, 70)))[0] == pytest.approx(total / weight_sum)
    assert np.isnan(stratified_auc(scores, positive, np.arange(70), np.ones((1, 70)))[0])


def test_knowing_only_the_site_is_worth_nothing_within_sites(shared) -> None:
    cases = read_tcga(shared)
    p = site_only(cases, cases)
    assert summarise(cases.judged(p, "site"))["auc(0)"] > 0.8
    within = within_site_auc(cases.judged(p, "site"), replicates=50)
    assert [within[grade].estimate for grade in cases.classes] == [0.5] * 4


def test_a_model_that_sees_morphology_keeps_its_auc_within_sites() -> None:
    p = make_predictions(400, signal=2)
    within, overall = within_site_auc(p, replicates=300), summarise(p)
    for grade in p.classes:
        assert within[grade].estimate == pytest.approx(overall[f"auc({grade})"], abs=0.03)
        assert within[grade].low > 0.6
    unplaced = Cases(labels=p.labels, classes=p.classes, patients=p.patients, slides=p.slides)
    with pytest.raises(EvaluationError, match="not known"):
        within_site_auc(unplaced.judged(p.probabilities, "m"))


def test_out_of_fold_site_predictions_do_not_gain_within_sites() -> None:
    cases = make_cases(300)
    labels = np.where(np.arange(300) % 5 < 2, cases.labels % 2, 2 + cases.labels % 2)
    confounded = replace(cases, labels=labels)
    fold = stratified_folds(labels, confounded.patients)
    predicted = out_of_fold(site_only, confounded, fold, "site")
    within = within_site_auc(predicted, replicates=50)
    assert summarise(predicted)["auc_macro_ovr"] > 0.6
    assert max(interval.estimate for interval in within.values()) < 0.55
