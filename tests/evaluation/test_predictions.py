"""Predictions go out and come back the same, and what is no prediction is said in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation.cases import make_predictions

from her2qp.errors import EvaluationError
from her2qp.evaluation.alignment import mean_of
from her2qp.evaluation.predictions import Cases
from her2qp.evaluation.predictions_file import read_predictions, write_predictions


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    cases = Cases(
        labels=np.array([0, 1, 1]),
        classes=("negative", "positive"),
        patients=np.array(["a", "b", "b"]),
        slides=np.array(["a.svs", 'b "1", ä.svs', "b2.svs"]),
        sites=np.array(["X", "Y", "Y"]),
        covariates={"ER": np.array(["Positive", "", "Negative"]), "area": np.array([1.5, np.nan, 3])},
    )
    p = cases.judged([[0.9, 0.1], [1 / 3, 2 / 3], [0, 1]], "mine")
    write_predictions(p, tmp_path / "mine.csv")
    back = read_predictions(tmp_path / "mine.csv")
    assert back.name == "mine"
    assert back.classes == p.classes
    for name in ("labels", "patients", "slides", "sites", "probabilities"):
        assert np.array_equal(getattr(back, name), getattr(p, name)), name
    assert back.covariates["ER"].tolist() == ["Positive", "", "Negative"]
    assert np.array_equal(back.covariates["area"], [1.5, np.nan, 3], equal_nan=True)


def test_a_table_made_by_hand_needs_no_file_names_and_no_sites(tmp_path: Path) -> None:
    table = tmp_path / "by hand.csv"
    table.write_text("PATIENT,LABEL,p(0),p(low),p(positive)\nA,low,0.33,0.33,0.33\nB,0,1,0,0\n", encoding="utf-8-sig")
    p = read_predictions(table, name="m")
    assert p.sites is None
    assert p.slides.tolist() == ["A", "B"]
    assert p.probabilities[0] == pytest.approx(1 / 3)


def test_a_patient_with_several_slides_counts_once_with_their_mean() -> None:
    p = make_predictions(20, slides_each=3)
    merged = p.by_patient()
    assert len(merged) == 20
    for row, patient in enumerate(merged.patients):
        slides = p.patients == patient
        assert merged.probabilities[row] == pytest.approx(p.probabilities[slides].mean(axis=0))
        assert merged.labels[row] == p.labels[slides][0]
    torn = Cases(
        labels=np.array([0, 1]), classes=("a", "b"), patients=np.array(["P", "P"]), slides=np.array(["1", "2"])
    )
    with pytest.raises(EvaluationError, match="P: the patient's slides have different labels"):
        torn.by_patient()


def test_the_mean_of_models_on_the_same_slides_in_any_order() -> None:
    members = [make_predictions(30, noise_seed=k) for k in range(3)]
    shuffled = [members[0], members[1].take(np.arange(30)[::-1]), members[2]]
    mean = mean_of(shuffled, "five folds")
    assert mean.probabilities == pytest.approx(sum(m.probabilities for m in members) / 3)
    assert mean.name == "five folds"
    with pytest.raises(EvaluationError, match="not about the same slides"):
        mean_of([members[0], members[1].take(np.arange(29))], "m")
    with pytest.raises(EvaluationError, match="no predictions"):
        mean_of([], "m")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "needs the columns PATIENT, LABEL"),
        ("PATIENT,LABEL,p(a)\nx,a,1\n", "p\\(CLASS\\) for each class"),
        ("PATIENT,LABEL,p(a),p(b)\n", "there is no case"),
        ("PATIENT,LABEL,p(a),p(b)\nx,c,1,0\n", "'c' is none of the classes a, b"),
        ("PATIENT,LABEL,p(a),p(b)\nx,a,1\n", "row 2 has 3 values"),
        ("PATIENT,LABEL,p(a),p(b)\nx,a,one,0\n", "in column p\\(a\\)"),
        ("PATIENT,LABEL,p(a),p(b)\nx,a,nan,0\n", "not numbers from 0 to 1"),
        ("PATIENT,LABEL,p(a),p(b)\nx,a,2.1,-1.3\n", "after the softmax"),
        ("PATIENT,LABEL,p(a),p(b)\nx,a,1,0\nx,a,1,0\n", "x: the slide occurs twice"),
        ("PATIENT,LABEL,p(a),p(a)\nx,a,1,0\n", "two columns are called"),
        ('PATIENT,LABEL,p(a),p(b)\nx,"a,1,0\n', "not a table in CSV"),
    ],
)
def test_bad_tables_are_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    table = tmp_path / "bad.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(EvaluationError, match=sentence):
        read_predictions(table)


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "image.csv").write_bytes(bytes(range(256)) * 100)
    with pytest.raises(EvaluationError, match="not a table in CSV"):
        read_predictions(tmp_path / "image.csv")
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_predictions(tmp_path / "none.csv")
