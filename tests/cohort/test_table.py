"""Cohort tables: ours, STAMP's, Excel, and bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from her2qp import tabular
from her2qp.cohort import Cohort, CohortRow
from her2qp.cohort.patients import patient_in, slide_stem, tcga_patient, tcga_site
from her2qp.errors import CohortError


def rows(*labels: str) -> tuple[CohortRow, ...]:
    return tuple(CohortRow(f"P{k // 2}", f"slide {k}.svs", label) for k, label in enumerate(labels))


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    project = tmp_path / "projects" / "project.qpproj"
    cohort = Cohort(
        (
            CohortRow("P1", "a.svs", "3+", "S1", project, "image, with comma", {"ER": "positive", "age": "61"}),
            CohortRow("P2", "b.svs", "0", "S2", Path("/elsewhere/project.qpproj"), "2", {"ER": "", "age": ""}),
        ),
        ("0", "1+", "2+", "3+"),
    )
    cohort.write(tmp_path / "cohort.csv")
    assert Cohort.read(tmp_path / "cohort.csv") == cohort
    assert (tmp_path / "cohort.csv").read_text(encoding="utf-8").splitlines()[:2] == [
        "PATIENT,FILENAME,HER2,SITE,PROJECT,IMAGE,ER,age",
        'P1,a.svs,3+,S1,projects/project.qpproj,"image, with comma",positive,61',
    ]
    assert cohort.labels.tolist() == [3, 0] and cohort.sites is not None and cohort.sites.tolist() == ["S1", "S2"]
    assert cohort.covariates("ER").tolist() == ["positive", ""]
    assert np.isnan(cohort.covariates("age")[1]) and cohort.covariates("age")[0] == 61


def test_a_table_of_another_origin_is_read(tmp_path: Path) -> None:
    table = tmp_path / "stamp.csv"
    table.write_text(
        "PATIENT;FILENAME;isHer2\nTCGA-A7-A13E;TCGA-A7-A13E-01Z.svs;Positive\n"
        "TCGA-E2-A14V;TCGA-E2-A14V.svs;negative\nTCGA-AR-A1AK;TCGA-AR-A1AK.svs;NA\n",
        encoding="utf-8-sig",
    )
    cohort = Cohort.read(table)
    assert cohort.classes == ("negative", "positive") and cohort.label_column == "isHer2"
    assert cohort.labels.tolist() == [1, 0] and cohort.sites is not None and cohort.sites.tolist() == ["A7", "E2"]


def test_excel_is_read(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("PATIENT", "FILENAME", "HER2", "age"), (1, "a.svs", 3, 60.0), (2, "b.svs", "1+", None), (None,) * 4]:
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    cohort = Cohort.read(tmp_path / "t.xlsx")
    assert [(r.patient, r.label, r.covariates["age"]) for r in cohort.rows] == [("1", "3+", "60"), ("2", "1+", "")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no column PATIENT"),
        ("PATIENT,HER2\nP1,3+\n", "no column FILENAME"),
        ("PATIENT,FILENAME,HER2\nP1,a,3+\nP2,b,3+\n", "all 2 slides are 3+"),
        ("PATIENT,FILENAME,HER2\nP1,a,3+\nP2,a,0\n", "with two labels, 3\\+ and 0"),
        ("PATIENT,FILENAME,HER2\nP1,a,3+\nP1,a,3+\n", "in the cohort twice"),
        ("PATIENT,FILENAME,HER2\nP1,a,blue\nP2,b,0\n", "blue"),
        ("PATIENT,FILENAME,HER2\nP1,a,0\nP2,b,1\n", "Write 0 and 1\\+, or negative and positive"),
        ("PATIENT,FILENAME,HER2\nP1,a,\n", "the cohort holds no slide"),
        ("PATIENT,FILENAME,x,y\nP1,a,0,1\n", "which column holds the label is not clear: x, y"),
        ("PATIENT,FILENAME,HER2\nP1,a\n", "row 2 has 2 values, the heading 3"),
        ("PATIENT,PATIENT,HER2\nP1,a,0\n", "two columns are called 'PATIENT'"),
        ("Study X,,\nPATIENT,FILENAME,HER2\nP1,a,0\n", "the first row does not name every column"),
    ],
)
def test_a_bad_table_gets_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
    with pytest.raises(CohortError, match=sentence) as caught:
        Cohort.read(tmp_path / "bad.csv")
    assert "bad.csv" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.xlsx", b"PATIENT,FILENAME,HER2\n", "Excel file cannot be read"),
        ("t.xls", b"\xd0\xcf\x11\xe0", "Save it as .xlsx or CSV"),
        ("t.csv", b"PATIENT,FILENAME,HER2\nM\xfcller,a,3+\n", "Save it as CSV UTF-8"),
        ("none.csv", None, "No such file"),
    ],
)
def test_an_unreadable_table_gets_one_sentence(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    pytest.importorskip("openpyxl")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CohortError, match=sentence):
        Cohort.read(tmp_path / name)


def test_a_formula_without_its_value_is_refused_and_not_taken_for_a_missing_result(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("PATIENT", "FILENAME", "HER2"), ("P1", "a.svs", '="3"&"+"'), ("P2", "b.svs", 0)]:
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(CohortError, match="row 2 has a formula that was never computed"):
        Cohort.read(tmp_path / "t.xlsx")


def test_a_small_file_that_claims_a_huge_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    monkeypatch.setattr(tabular, "_MOST_CELLS", 1000)
    book = openpyxl.Workbook()
    for row in [("PATIENT", "FILENAME", "HER2"), (1, "a.svs", 3), (2, "b.svs", 0)]:
        book.active.append(row)
    book.active.cell(1_000_000, 3).value = None
    book.save(tmp_path / "sparse.xlsx")
    assert len(Cohort.read(tmp_path / "sparse.xlsx")) == 2
    book.active.cell(400, 40).value = "far"
    book.active.cell(800, 2).value = "x"
    for k in range(100):
        book.active.cell(10 + k, 1).value = "x"
    book.save(tmp_path / "wide.xlsx")
    (tmp_path / "commas.csv").write_text("PATIENT,FILENAME,HER2\n" + "," * 2000, encoding="utf-8")
    for name in ("wide.xlsx", "commas.csv"):
        with pytest.raises(CohortError, match="more than 1,000 cells"):
            Cohort.read(tmp_path / name)


def test_names_tell_patient_and_site() -> None:
    name = "TCGA-A7-A13E-01Z-00-DX1.F6E9A5DF-D8FB-45CF-B4BD-C6B76294C291.svs"
    assert (tcga_patient(name), tcga_site(name)) == ("TCGA-A7-A13E", "A7")
    assert slide_stem("folder/" + name) == name.removesuffix(".svs") and slide_stem("a.b") == "a.b"
    assert tcga_patient("XTCGA-A7-A13E") is None and tcga_site("TCGA-A7") is None
    patients = {"p1", "p1-b", "p12", "a 7"}
    found = [
        patient_in(n, patients) for n in ("P1_HE.svs", "P1-B.2.svs", "P12.svs", "p123.svs", "A 7 x.tif", "xP1.svs")
    ]
    assert found == ["p1", "p1-b", "p12", None, "a 7", None]
