"""Spellings of HER2 results as they occur in tables, and the classes that they are."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from her2qp.cohort.labels import class_of, read_ish, scheme_of
from her2qp.errors import CohortError
from her2qp.scheme import Scheme

UNDECIDED = "undecided"


def classes_of(text: str, ish: str = "") -> tuple[str | None, ...]:
    found = []
    for scheme in Scheme:
        try:
            found.append(class_of(text, scheme, ish))
        except CohortError:
            found.append(UNDECIDED)
    return tuple(found)


@pytest.mark.parametrize("text", ["3+", "3", "3.0", " 3 + ", "+++", "IHC 3+", "IHC3+", "score 3", "Score: 3+",
                                  "HER2 3+", "Her2/neu: 3+", "HER2-3+", "Positive (3+)", "3+ positive",
                                  "HER2 IHC score = 3", "\uff13+"])  # fmt: skip
def test_three_plus_in_any_usual_spelling(text: str) -> None:
    assert classes_of(text) == ("3+", "positive", "positive")


@pytest.mark.parametrize("text", ["0", "0+", "zero", "IHC 0", "Negative (0)", "HER2-0", "ultralow", "HER2 ultra-low"])
def test_zero(text: str) -> None:
    assert classes_of(text) == ("0", "0", "negative")


@pytest.mark.parametrize("text", ["1+", "1", "negative 1+", "HER2 low (1+)", "IHC 1+"])
def test_one_plus_is_low(text: str) -> None:
    assert classes_of(text) == ("1+", "low", "negative")


@pytest.mark.parametrize(
    ("text", "ish", "low", "status"),
    [
        ("2+", "", UNDECIDED, UNDECIDED),
        ("2+", "Amplified", "positive", "positive"),
        ("2+", "FISH positive", "positive", "positive"),
        ("2+", "Negative", "low", "negative"),
        ("2", "not amplified", "low", "negative"),
        ("Equivocal", "neg", "low", "negative"),
        ("2+", "[Not Evaluated]", UNDECIDED, UNDECIDED),
        ("2+", "1.4", UNDECIDED, UNDECIDED),
        ("2+ (FISH-)", "", "low", "negative"),
        ("2+/ISH+", "", "positive", "positive"),
        ("IHC 2+, FISH negative", "", "low", "negative"),
        ("2+, FISH-positive", "", "positive", "positive"),
        ("2+ DISH: positive", "", "positive", "positive"),
        ("2+ non-amplified", "", "low", "negative"),
        ("2+ISH\u2212", "", "low", "negative"),
    ],
)
def test_in_situ_hybridisation_decides_a_two_plus(text: str, ish: str, low: str, status: str) -> None:
    assert classes_of(text, ish) == ("2+", low, status)


def test_in_situ_hybridisation_decides_nothing_else() -> None:
    assert classes_of("3+", "negative") == ("3+", "positive", "positive")
    assert classes_of("0", "amplified") == ("0", UNDECIDED, UNDECIDED)


def test_the_clinical_table_of_tcga_is_mapped_as_its_groups_say(shared: Path) -> None:
    with (shared / "data" / "labels" / "tcga_brca_her2_ihc_labels_derived.csv").open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    groups = {"zero": "0", "low": "low", "positive": "positive"}
    wanted = [groups.get(row["group"], UNDECIDED) for row in rows]
    assert [classes_of(row["her2_ihc_score"], row["her2_fish_status"])[1] for row in rows] == wanted
    assert len(rows) == 622 and wanted.count(UNDECIDED) == 28


@pytest.mark.parametrize(
    ("text", "low", "status"),
    [
        ("Positive", "positive", "positive"), ("pos", "positive", "positive"), ("HER2+", "positive", "positive"),
        ("Negative", UNDECIDED, "negative"), ("HER2-", UNDECIDED, "negative"), ("neg.", UNDECIDED, UNDECIDED),
        ("HER2-low", "low", "negative"), ("HER2\u2212low", "low", "negative"), ("Low", "low", "negative"),
    ],
)  # fmt: skip
def test_status_without_a_grade_has_no_grade(text: str, low: str, status: str) -> None:
    assert classes_of(text) == (UNDECIDED, low, status)


@pytest.mark.parametrize("text", ["", "NA", "n/a", "nan", "[Not Available]", "[Not Evaluated]", "Indeterminate", "?"])
def test_no_result_is_no_class_and_no_error(text: str) -> None:
    assert classes_of(text) == (None, None, None)


@pytest.mark.parametrize("text", ["+", "4+", "33", "2.5", "1-2+", "1+ to 2+", "3+ negative", "1+ positive", "low 3+",
                                  "2+ positive FISH negative", "Luminal A", "HER2"])  # fmt: skip
def test_what_cannot_be_read_or_contradicts_itself_is_named(text: str) -> None:
    for scheme in Scheme:
        with pytest.raises(CohortError) as caught:
            class_of(text, scheme)
        assert repr(text) in str(caught.value)


def test_ish_results() -> None:
    assert [read_ish(text) for text in ("Amplified", "+", "FISH: pos", "ISH positive")] == [True] * 4
    assert [read_ish(text) for text in ("not amplified", "-", "Negative", "unamplified")] == [False] * 4
    assert [read_ish(text) for text in ("", "2.1", "Indeterminate", "Equivocal", "borderline")] == [None] * 5


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        (["3", "2+", "IHC 0"], Scheme.GRADES),
        (["0", "low", "positive"], Scheme.LOW),
        (["0", "Positive"], Scheme.LOW),
        (["Negative", "Positive"], Scheme.STATUS),
        (["3+", "negative"], Scheme.STATUS),
    ],
)
def test_values_tell_their_scheme(values: list[str], scheme: Scheme) -> None:
    assert scheme_of(values) is scheme
    assert all(class_of(value, scheme) in scheme.classes for value in values)


def test_bare_zeros_and_ones_are_refused() -> None:
    with pytest.raises(CohortError, match="may be grades or negative and positive"):
        scheme_of(["0", "1", "1.0"])
    assert scheme_of(["0", "1+"]) is Scheme.GRADES
