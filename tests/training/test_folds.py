"""Folds keep patients and sites whole and the classes even, as even as published ones."""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2qp.errors import FoldError
from her2qp.training.folds import given_folds, imbalance, site_preserving_folds, stratified_folds
from her2qp.training.splits import Split, held_out_splits, nested_splits

USTC_COUNTS = (59, 80, 105, 106)
"""Patients by grade of the 350 cases of Du et al., Table 1."""


def cases_of(counts: tuple[int, ...], slides_each: int = 1) -> tuple[np.ndarray, np.ndarray]:
    labels = np.random.default_rng(3).permutation(np.repeat(np.arange(len(counts)), counts))
    patients = np.array([f"patient {i}" for i in range(len(labels))])
    return np.tile(labels, slides_each), np.tile(patients, slides_each)


def assert_disjoint(split: Split, patients: np.ndarray) -> None:
    parts = [set(patients[rows]) for rows in (split.training, split.validation, split.test)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(set(patients))


def test_every_class_is_dealt_evenly_and_slides_follow_their_patient() -> None:
    labels, patients = cases_of(USTC_COUNTS, slides_each=3)
    fold = stratified_folds(labels, patients, folds=5, seed=1)
    for patient in set(patients):
        assert len(set(fold[patients == patient])) == 1
    for label, count in enumerate(USTC_COUNTS):
        sizes = np.bincount(fold[labels == label], minlength=5) // 3
        assert sizes.sum() == count
        assert np.ptp(sizes) <= 1


def test_the_held_out_part_is_that_of_du_et_al() -> None:
    labels, patients = cases_of(USTC_COUNTS)
    splits = held_out_splits(labels, patients, seed=4)
    assert len(splits) == 5
    test = splits[0].test
    assert len(test) == 105
    assert np.abs(np.bincount(labels[test]) - (18, 24, 31, 32)).max() <= 1
    validated = np.concatenate([split.validation for split in splits])
    assert sorted(validated) == sorted(set(range(350)) - set(test))
    for split in splits:
        assert np.array_equal(split.test, test)
        assert_disjoint(split, patients)


def test_nested_folds_test_everybody_once() -> None:
    labels, patients = cases_of((20, 30), slides_each=2)
    outer = nested_splits(labels, patients, outer=4, inner=3, seed=2)
    assert sorted(np.concatenate([inner[0].test for inner in outer])) == list(range(100))
    for inner in outer:
        for split in inner:
            assert np.array_equal(split.test, inner[0].test)
            assert_disjoint(split, patients)


def test_nested_folds_can_keep_sites_whole_inside_and_outside() -> None:
    labels, patients = cases_of((40, 60))
    sites = np.array([f"site {i % 12}" for i in range(100)])
    for inner in nested_splits(labels, patients, outer=3, inner=3, sites=sites):
        for split in inner:
            assert_disjoint(split, sites)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=4, max_size=6), st.integers(0, 9))
def test_site_folds_are_near_the_best_of_all_assignments(counts: list[tuple[int, int]], seed: int) -> None:
    counts = [(a + 1, b) for a, b in counts]
    sites = np.repeat([f"s{i}" for i in range(len(counts))], [a + b for a, b in counts])
    labels = np.concatenate([np.repeat([0, 1], pair) for pair in counts])
    patients = np.arange(len(labels))
    fold = site_preserving_folds(labels, patients, sites, folds=2, seed=seed)
    assert all(len(set(fold[sites == site])) == 1 for site in sites)
    assert set(fold) == {0, 1}
    names = np.unique(sites, return_inverse=True)[1]
    every = [np.array(a)[names] for a in product(range(2), repeat=len(counts)) if len(set(a)) == 2]
    best = min(imbalance(labels, patients, assignment) for assignment in every)
    assert imbalance(labels, patients, fold) <= best + 1e-9


def test_imbalance_by_hand() -> None:
    # Class 0: 3 and 1 of an even 2 (±1/2 each); class 1: 1 and 1. Twice (1/2)².
    assert imbalance([0, 0, 0, 0, 1, 1], range(6), [0, 0, 0, 1, 0, 1]) == pytest.approx(0.5)


def test_site_folds_are_at_least_as_even_as_the_published_ones(shared: Path) -> None:
    labels_folder = shared / "data" / "labels"
    with (labels_folder / "tcga_brca_her2_ihc_labels_derived.csv").open() as file:
        known = {row["bcr_patient_barcode"]: row for row in csv.DictReader(file)}
    with (labels_folder / "preserved_site_cv_brca_splits.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["CV3_her2_preserved_site"]]
    slides = [row for row in rows if row["submitter_id"] in known]
    patients = np.array([row["submitter_id"] for row in slides])
    sites = np.array([known[p]["tss"] for p in patients])
    published = given_folds([row["CV3_her2_preserved_site"] for row in slides], patients)
    assert len(set(zip(sites, published, strict=True))) == len(set(sites)), "the published folds keep sites whole"
    for column, values in {
        "her2_ihc_score": ("0", "1+", "2+", "3+"),
        "her2_status_by_ihc": ("Negative", "Positive"),
    }.items():
        scored = np.array([known[p][column] in values for p in patients])
        labels = np.array([values.index(known[p][column]) for p in patients[scored]])
        fold = site_preserving_folds(labels, patients[scored], sites[scored], folds=3)
        assert len(set(zip(sites[scored], fold, strict=True))) == len(set(sites[scored]))
        assert imbalance(labels, patients[scored], fold) < 0.2 * imbalance(labels, patients[scored], published[scored])


def test_what_cannot_be_divided_is_said_in_a_sentence() -> None:
    with pytest.raises(FoldError, match="class 1 has 3 patients"):
        stratified_folds([0] * 9 + [1] * 3, range(12), folds=5)
    with pytest.raises(FoldError, match="there are 2"):
        site_preserving_folds([0, 1, 0, 1], range(4), ["a", "a", "b", "b"], folds=3)
    with pytest.raises(FoldError, match="p1: the patient's slides are of different sites"):
        site_preserving_folds([0, 1], ["p1", "p1"], ["a", "b"], folds=2)
    with pytest.raises(FoldError, match="p1: the patient is in two folds, A and B"):
        given_folds(["A", "B"], ["p1", "p1"])
    with pytest.raises(FoldError, match="all slides are in one fold"):
        given_folds(["A", "A"], ["p1", "p2"])
    with pytest.raises(FoldError, match="cannot be held out"):
        held_out_splits([0] * 9 + [1], range(10))
    with pytest.raises(FoldError, match="shape"):
        stratified_folds([0, 1, 1], ["p1"])
