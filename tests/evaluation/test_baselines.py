"""Baselines know what they may know and no more, and give the published figures on TCGA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation.cases import make_cases, make_predictions
from evaluation.tcga import read_tcga

from her2qp.errors import EvaluationError
from her2qp.evaluation.baselines import covariates_only, majority_class, out_of_fold, site_only
from her2qp.evaluation.metrics import summarise
from her2qp.evaluation.permutation import permutation_null, permuted_labels
from her2qp.evaluation.predictions import Cases
from her2qp.training.folds import site_preserving_folds, stratified_folds


def confounded(count: int = 200) -> Cases:
    """Cases whose label is mostly that of their site."""
    rng = np.random.default_rng(1)
    site = rng.integers(0, 4, count)
    labels = np.where(rng.random(count) < 0.8, site % 2, rng.integers(0, 2, count))
    names = np.array([f"P{i}" for i in range(count)])
    return Cases(
        labels=labels,
        classes=("negative", "positive"),
        patients=names,
        slides=names,
        sites=np.array([f"S{s}" for s in site]),
        covariates={
            "ER": np.where(labels == 1, "Positive", "Negative"),
            "area": np.where(rng.random(count) < 0.1, np.nan, labels * 1e6 + rng.random(count)),
            "noise": rng.random(count),
        },
    )


def test_the_site_alone_predicts_where_labels_follow_sites_but_not_over_sites() -> None:
    cases = confounded()
    at_random = stratified_folds(cases.labels, cases.patients)
    by_site = site_preserving_folds(cases.labels, cases.patients, cases.sites, folds=4)
    assert summarise(out_of_fold(site_only, cases, at_random, "site"))["auc_macro_ovr"] > 0.8
    assert summarise(out_of_fold(site_only, cases, by_site, "site"))["auc_macro_ovr"] < 0.6


def test_a_case_never_sees_its_own_label() -> None:
    cases = confounded(40)
    fold = stratified_folds(cases.labels, cases.patients)
    for baseline in (majority_class, site_only, covariates_only(["ER", "area"])):
        before = out_of_fold(baseline, cases, fold, "b").probabilities
        for case in (0, 7):
            changed = cases.labels.copy()
            changed[case] = 1 - changed[case]
            other = cases.relabelled(changed, cases.classes)
            after = out_of_fold(baseline, other, fold, "b").probabilities
            same_fold = fold == fold[case]
            assert np.array_equal(before[same_fold], after[same_fold])
            assert not np.array_equal(before[~same_fold], after[~same_fold])


def test_site_frequencies_are_smoothed_by_four_cases_of_the_overall_ones() -> None:
    names = np.array(["a", "b", "c", "d"])
    known = Cases(
        labels=np.array([0, 1, 1, 1]), classes=("x", "y"), patients=names, slides=names, sites=np.array(list("AABB"))
    )
    asked = Cases(labels=np.array([0, 0]), classes=("x", "y"), patients=names[:2], slides=names[:2],
                  sites=np.array(["A", "new"]))  # fmt: skip
    assert site_only(known, asked) == pytest.approx(np.array([[(1 + 4 * 0.25) / 6, (1 + 4 * 0.75) / 6], [0.25, 0.75]]))
    assert majority_class(known, asked) == pytest.approx(np.array([[0.25, 0.75]] * 2))


def test_covariates_predict_only_if_they_know_something() -> None:
    cases = confounded()
    fold = stratified_folds(cases.labels, cases.patients)
    auc = {
        name: summarise(out_of_fold(covariates_only([name]), cases, fold, name))["auc_macro_ovr"]
        for name in cases.covariates
    }
    assert auc["ER"] == 1
    assert auc["area"] > 0.9
    assert 0.35 < auc["noise"] < 0.65


def test_what_a_baseline_lacks_is_named() -> None:
    cases = make_cases(30)
    with pytest.raises(EvaluationError, match="no column 'ER' to predict from; there is none"):
        covariates_only(["ER"])(cases, cases)
    unplaced = Cases(labels=cases.labels, classes=cases.classes, patients=cases.patients, slides=cases.slides)
    with pytest.raises(EvaluationError, match="site cannot predict"):
        site_only(unplaced, unplaced)


def test_permuted_labels_keep_the_counts_and_the_patients_together() -> None:
    p = make_predictions(60, slides_each=2)
    dealt = permuted_labels(p, np.random.default_rng(0))
    assert (dealt.labels != p.labels).mean() > 0.5
    assert np.array_equal(dealt.counts, p.counts)
    assert np.array_equal(dealt.labels[::2], dealt.labels[1::2])


def test_chance_lies_around_a_half_and_as_wide_as_theory_says() -> None:
    p = make_predictions(150, classes=("negative", "positive"))
    null = permutation_null(p, permutations=300)["auc(positive)"]
    positives, negatives = p.counts[1], p.counts[0]
    sd = np.sqrt((len(p) + 1) / (12 * positives * negatives))  # of the Mann-Whitney statistic, as a share of pairs
    assert null.estimate == pytest.approx(0.5, abs=0.01)
    assert (null.high - null.low) / 2 == pytest.approx(1.96 * sd, rel=0.15)


def test_tcga_sites_alone_reach_the_published_figure(shared: Path) -> None:
    cases = read_tcga(shared)
    assert cases.counts.tolist() == [57, 261, 196, 88]
    per_seed = []
    for seed in range(20):
        fold = stratified_folds(cases.labels, cases.patients, seed=seed)
        per_seed.append(summarise(out_of_fold(site_only, cases, fold, "site only")))
    aucs = [s["auc_macro_ovr"] for s in per_seed]
    assert round(float(np.mean(aucs)), 3) == 0.629
    assert round(float(np.std(aucs)), 3) == 0.007
    by_class = [np.mean([s[f"auc({grade})"] for s in per_seed]) for grade in cases.classes]
    assert by_class == pytest.approx([0.831, 0.558, 0.618, 0.509], abs=0.006)
    majority = summarise(out_of_fold(majority_class, cases, fold, "majority"))
    assert majority["accuracy"] == pytest.approx(261 / 602)


def test_tcga_zero_against_low_and_clinic_alone(shared: Path) -> None:
    cases = read_tcga(shared)
    fold = stratified_folds(cases.labels, cases.patients)
    clinic = summarise(out_of_fold(covariates_only(list(cases.covariates)), cases, fold, "clinic"))
    assert clinic["auc_macro_ovr"] == pytest.approx(0.508, abs=0.03)
    low = cases.take(cases.labels <= 2)
    grouped = low.relabelled(np.minimum(low.labels, 1), ("0", "low"))
    fold = stratified_folds(grouped.labels, grouped.patients)
    found = summarise(out_of_fold(site_only, grouped, fold, "site"))
    assert found["auc(low)"] == pytest.approx(0.823, abs=0.02)
