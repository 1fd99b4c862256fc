"""What a protocol makes of a cohort, and that what it says to need is enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from her2qp.errors import FoldError
from her2qp.evaluation.predictions import Cases
from her2qp.training.protocols import (
    CrossValidation,
    HeldOut,
    Nested,
    check_classes,
    check_counts,
    learnt_rows,
    training_group,
)


def cases_of(counts: tuple[int, ...], sites: int = 7, **covariates: np.ndarray) -> Cases:
    labels = np.repeat(np.arange(len(counts)), counts)
    names = np.array([f"P{i}" for i in range(len(labels))])
    return Cases(
        labels=labels,
        classes=("0", "1+", "2+", "3+")[: len(counts)],
        patients=names,
        slides=names,
        sites=np.array([f"S{i % sites}" for i in range(len(labels))]),
        covariates=covariates,
    )


@pytest.mark.parametrize(
    "protocol",
    [
        CrossValidation(),
        CrossValidation(folds=2, validation_folds=7),
        Nested(folds=3, inner_folds=4),
        HeldOut(),
        HeldOut(folds=3, test_share=0.5),
    ],
)
def test_as_many_patients_as_a_protocol_needs_are_enough_and_fewer_are_refused(
    protocol: CrossValidation | Nested | HeldOut,
) -> None:
    need = protocol.fewest_patients
    cases = cases_of((need, 3 * need, 2 * need))
    check_counts(cases, need)
    groups = protocol.groups(cases)
    check_classes(cases, [split for group in groups for split in group])
    with pytest.raises(FoldError, match=rf"class 2\+ has {need - 1} patients; these folds need {need}"):
        check_counts(cases_of((need, need, need - 1)), need)


def test_every_protocol_judges_nobody_it_learnt_from() -> None:
    cases = cases_of((30, 30, 30))
    for protocol in (CrossValidation(folds=4), Nested(folds=3), HeldOut()):
        groups = protocol.groups(cases)
        for group in groups:
            for split in group:
                assert np.array_equal(split.test, group[0].test)
                assert not set(split.test) & {*split.training, *split.validation}
        tested = np.sort(np.concatenate([group[0].test for group in groups]))
        assert np.array_equal(tested, np.arange(90)) or len(tested) == 27


def test_sites_stay_whole_where_that_was_asked_for() -> None:
    cases = cases_of((40, 40), sites=9)
    splits = [s for g in CrossValidation(folds=3, validation_folds=2, site_preserving=True).groups(cases) for s in g]
    splits += training_group(CrossValidation(folds=3, site_preserving=True), cases)
    for split in splits:
        parts = [set(cases.sites[rows]) for rows in (split.training, split.validation, split.test)]
        assert sum(map(len, parts)) == 9
    with pytest.raises(FoldError, match="sites are not known"):
        unknown = Cases(labels=cases.labels, classes=cases.classes, patients=cases.patients, slides=cases.slides)
        CrossValidation(site_preserving=True).groups(unknown)


def test_folds_of_a_column_are_taken_as_they_are() -> None:
    fold = np.array([f"part {i % 3}" for i in range(60)])
    cases = cases_of((30, 30), given=fold)
    groups = CrossValidation(fold_column="given", validation_folds=3).groups(cases)
    assert [set(fold[group[0].test]) for group in groups] == [{"part 0"}, {"part 1"}, {"part 2"}]
    with pytest.raises(FoldError, match="no column 'folds' of folds; there is given"):
        CrossValidation(fold_column="folds").groups(cases)


def test_a_slide_without_a_fold_and_a_patient_in_two_are_told_as_the_table_has_them() -> None:
    numbers = np.arange(60.0) % 3
    blank = np.where(np.arange(60) == 7, np.nan, numbers)
    for given, wrong in ((blank, "no fold in column 'given'"), (np.where(np.isnan(blank), "", "A"), "no fold")):
        with pytest.raises(FoldError, match=wrong) as caught:
            CrossValidation(fold_column="given").groups(cases_of((30, 30), given=given))
        assert str(cases_of((30, 30)).slides[7]) in str(caught.value)
    cases = cases_of((30, 30), given=numbers)
    one_patient = replace(cases, patients=np.where(np.arange(60) < 2, cases.patients[0], cases.patients))
    with pytest.raises(FoldError, match="the patient is in two folds, 0 and 1"):
        CrossValidation(fold_column="given").groups(one_patient)


def test_training_tests_nobody_and_learns_from_all() -> None:
    cases = cases_of((20, 20))
    splits = training_group(HeldOut(folds=4), cases)
    assert len(splits) == 4 and all(len(split.test) == 0 for split in splits)
    assert np.array_equal(learnt_rows(splits), np.arange(40))
    assert np.array_equal(np.sort(np.concatenate([split.validation for split in splits])), np.arange(40))


def test_a_class_that_one_site_alone_has_cannot_be_learnt_without_it() -> None:
    labels = np.array([0] * 20 + [1] * 10)
    names = np.array([f"P{i}" for i in range(30)])
    sites = np.array([f"S{i % 4}" for i in range(20)] + ["S9"] * 10)
    cases = Cases(labels=labels, classes=("negative", "positive"), patients=names, slides=names, sites=sites)
    groups = CrossValidation(folds=3, validation_folds=2, site_preserving=True).groups(cases)
    with pytest.raises(FoldError, match="no case of class positive is left to learn from"):
        check_classes(cases, [split for group in groups for split in group])
