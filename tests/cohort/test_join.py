"""Images of real projects joined with labels of every kind; everything left out is accounted for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import run

import her2qp
from her2qp.cohort import Cohort
from her2qp.cohort.joined import Why
from her2qp.errors import CohortError
from her2qp.qupath.objects import ImageType

Images = Mapping[str, Mapping[str, str]]


def make_project(folder: Path, images: Images, **types: ImageType) -> Path:
    with her2qp.create_project(folder) as project:
        for name, metadata in images.items():
            kind = types.get(Path(name).stem, ImageType.BRIGHTFIELD_H_E)
            entry = project.add_image(folder / name, size=(1000, 1000), mpp=(0.25, 0.25), image_type=kind)
            entry.metadata = metadata
            entry.save()
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    names = ("P1_HE.svs", "P2.HE.svs", "P2_2.svs", "P3-HE.svs", "P4.svs", "P1_HER2.svs", "Q.svs")
    return make_project(tmp_path / "one", {name: {} for name in names}, P1_HER2=ImageType.BRIGHTFIELD_H_DAB)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_labels_by_patient(project: Path, tmp_path: Path) -> None:
    labels = write(
        tmp_path / "labels.csv", "Case ID,HER2,FISH,hospital,ER",
        "p1,IHC 3+,,North,pos", "P2,2+,not amplified,South,neg", "P3,blue,,South,neg", "P4,NA,,South,neg",
        "P9,0,,North,pos", "P10,1+,,North,neg",
    )  # fmt: skip
    joined = her2qp.make_cohort(
        [project], tmp_path / "out.csv", labels=labels, ish_column="FISH", site_column="hospital", scheme="low"
    )
    rows = [(r.patient, r.filename, r.label, r.site, dict(r.covariates)) for r in joined.cohort.rows]
    assert rows == [
        ("p1", "P1_HE.svs", "positive", "North", {"FISH": "", "ER": "pos"}),
        ("P2", "P2.HE.svs", "low", "South", {"FISH": "not amplified", "ER": "neg"}),
        ("P2", "P2_2.svs", "low", "South", {"FISH": "not amplified", "ER": "neg"}),
    ]
    assert {out.image: out.why for out in joined.left_out} == {
        "P3-HE.svs": Why.UNREADABLE_LABEL, "P4.svs": Why.NO_LABEL, "P1_HER2.svs": Why.NOT_HE, "Q.svs": Why.NO_LABEL,
    }  # fmt: skip
    assert joined.unmatched == ("p9", "p10") and joined.exit_code == 1
    assert "'blue'" in next(out.reason for out in joined.left_out if out.image == "P3-HE.svs")
    assert "Brightfield (H-DAB)" in next(out.reason for out in joined.left_out if out.image == "P1_HER2.svs")
    assert Cohort.read(tmp_path / "out.csv") == joined.cohort


def test_labels_by_slide_of_several_projects_in_excel(project: Path, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    other = make_project(tmp_path / "two", {"P4.svs": {"Patient ID": "P44"}, "P7.svs": {"Patient ID": "P7"}})
    book = openpyxl.Workbook()
    for row in [("Slide", "score"), ("P1_HE", 3), ("P4.svs", 0), ("P7.svs", 1)]:
        book.active.append(row)
    book.save(tmp_path / "labels.xlsx")
    joined = her2qp.make_cohort(
        [project, other / "project.qpproj"], tmp_path / "out.csv", labels=tmp_path / "labels.xlsx", label_column="score"
    )
    rows = [(r.patient, r.filename, r.label) for r in joined.cohort.rows]
    assert rows == [
        ("P1_HE.svs", "P1_HE.svs", "3+"), ("P4.svs", "one/P4.svs", "0"), ("P44", "two/P4.svs", "0"),
        ("P7", "P7.svs", "1+"),
    ]  # fmt: skip
    assert joined.cohort.covariate_names == () and Cohort.read(tmp_path / "out.csv") == joined.cohort
    assert any("The patient of 2 slides is not known" in note for note in joined.notes)
    assert {str(r.project) for r in joined.cohort.rows} == {str(p / "project.qpproj") for p in (project, other)}


@pytest.mark.parametrize(
    ("header", "rows", "sites", "covariates"),
    [
        ("PATIENT,HER2,ER", ("P1,3+,pos", "P2,0,neg"), ("North", "South"), ("ER",)),
        ("PATIENT,HER2,Center", ("P1,3+,A", "P2,0,B"), ("A", "B"), ()),
        ("PATIENT,HER2,SITE,Center", ("P1,3+,C1,A", "P2,0,C2,B"), ("C1", "C2"), ("Center",)),
    ],
)
def test_the_site_is_found_by_its_usual_names_in_the_table_and_else_in_the_metadata(
    tmp_path: Path, header: str, rows: tuple[str, ...], sites: tuple[str, str], covariates: tuple[str, ...]
) -> None:
    made = make_project(tmp_path / "p", {"P1.svs": {"Hospital": "North"}, "P2.svs": {"Hospital": "South"}})
    labels = write(tmp_path / "labels.csv", header, *rows)
    joined = her2qp.make_cohort([made], tmp_path / "o.csv", labels=labels)
    assert tuple(row.site for row in joined.cohort.rows) == sites
    assert joined.cohort.covariate_names == covariates
    assert any(note.startswith("The site of a slide is its '") for note in joined.notes)
    assert Cohort.read(tmp_path / "o.csv") == joined.cohort


def test_a_column_beats_the_barcode_which_fills_its_gaps_unless_it_was_asked_for(tmp_path: Path) -> None:
    names = ("TCGA-A7-A13E-01Z-00-DX1.svs", "TCGA-E2-A14V-01Z-00-DX1.svs")
    made = make_project(tmp_path / "p", {name: {} for name in names})
    labels = write(tmp_path / "labels.csv", "PATIENT,HER2,SITE", "TCGA-A7-A13E,3+,mine", "TCGA-E2-A14V,0,")
    for asked, sites in ((None, ["mine", "E2"]), ("SITE", ["mine", None])):
        joined = her2qp.make_cohort([made], tmp_path / "o.csv", labels=labels, site_column=asked)
        assert [row.site for row in joined.cohort.rows] == sites


def test_labels_in_the_metadata_and_where(tmp_path: Path) -> None:
    made = make_project(
        tmp_path / "p",
        {
            "TCGA-A7-A13E-01Z-00-DX1.svs": {"IHC": "2+", "kind": "resection", "HER2 predicted": "0"},
            "TCGA-E2-A14V-01Z-00-DX1.svs": {"IHC": "3+", "kind": "Biopsy", "HER2 predicted": "0"},
            "TCGA-AR-A1AK-01Z-00-DX1.svs": {"IHC": "1+", "kind": "biopsy"},
            "x.svs": {"kind": "biopsy", "Case": "C1"},
        },
    )
    joined = her2qp.make_cohort([made], tmp_path / "o.csv", label_column="IHC", where=["kind=biopsy"])
    rows = [(r.patient, r.site, r.label, dict(r.covariates)) for r in joined.cohort.rows]
    assert rows == [
        ("TCGA-E2-A14V", "E2", "3+", {"kind": "Biopsy"}), ("TCGA-AR-A1AK", "AR", "1+", {"kind": "biopsy"})
    ]  # fmt: skip
    assert [out.why for out in joined.left_out] == [Why.NOT_ASKED_FOR, Why.NO_LABEL] and joined.exit_code == 0
    assert Cohort.read(tmp_path / "o.csv") == joined.cohort


def test_the_same_slide_again_is_left_out(tmp_path: Path) -> None:
    with her2qp.create_project(tmp_path / "p") as project:
        for label, name in [("3+", "a.svs"), ("3+", "a.svs"), ("0", "b.svs")]:
            entry = project.add_image(tmp_path / name, size=(10, 10), mpp=(0.5, 0.5))
            entry.metadata = {"HER2": label}
            entry.save()
    joined = her2qp.make_cohort([tmp_path / "p", tmp_path / "p" / "project.qpproj"], tmp_path / "o.csv")
    assert [(r.filename, r.image) for r in joined.cohort.rows] == [("a.svs", "1"), ("b.svs", "b.svs")]
    assert [out.why for out in joined.left_out] == [Why.REPEATED] * 4
    with her2qp.open_project(tmp_path / "p", "r+") as project:
        project.images[1].metadata = {"HER2": "1+"}
        project.images[1].save()
    with pytest.raises(CohortError, match=r"a\.svs has two labels: 3\+ as image '1' and 1\+ as image '2'"):
        her2qp.make_cohort([tmp_path / "p"], tmp_path / "o.csv")


@pytest.mark.parametrize(
    ("lines", "settings", "sentence"),
    [
        (("PATIENT,HER2", "X1,3+", "X2,0"), {}, "the images are of slides like P1_HE.svs, P2.HE.svs, P2_2.svs, and the "
         "patients of LABELS are like x1, x2"),
        (("PATIENT,HER2", "P1,3+", "P2,3+"), {}, "all 3 slides are 3+"),
        (("PATIENT,HER2", "P1,3+", "P2,0", "P2,2+"), {}, "gives image 'P2.HE.svs' two labels, 0 and 2+"),
        (("PATIENT,IHC", "P1,3+", "P2,0"), {}, "neither the table of labels nor the metadata of any image has 'HER2'"),
        (("PATIENT,HER2", "P1,3+", "P2,0"), {"site_column": "place"}, "has 'place'; there is HER2, PATIENT"),
        (("PATIENT,HER2", "P1,3+", "P2,0"), {"where": ["kind=x"]}, "has 'kind'"),
        (("PATIENT,HER2", "P1,3+", "P2,0"), {"slide_column": "slide"}, "the table has no column 'slide'"),
        (("PATIENT,HER2",), {}, "LABELS: the table holds no label"),
        (("",), {}, "LABELS: the table holds no label"),
        (("HER2,who", "3+,P1", "0,P2"), {}, "which column names the slide or the patient is not clear"),
        (("PATIENT,HER2", "P1,1", "P2,0"), {}, "which may be grades or negative and positive"),
        (("PATIENT,HER2", "P1,blue", "P2,red"), {}, "no image has a label that can be used: P1_HE.svs: 'blue'"),
    ],
)  # fmt: skip
def test_bad_labels_get_one_sentence(
    project: Path, tmp_path: Path, lines: tuple[str, ...], settings: dict[str, object], sentence: str
) -> None:
    labels = write(tmp_path / "labels.csv", *lines)
    with pytest.raises(CohortError) as caught:
        her2qp.make_cohort([project], tmp_path / "out.csv", labels=labels, **settings)
    assert sentence.replace("LABELS", str(labels)) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_a_label_for_different_slides_of_one_name_is_noted(tmp_path: Path) -> None:
    with her2qp.create_project(tmp_path / "p") as project:
        for name in ("one/a.svs", "two/a.svs", "b.svs"):
            project.add_image(tmp_path / name, size=(10, 10), mpp=(0.5, 0.5))
        project.save()
    labels = write(tmp_path / "l.csv", "slide_id,HER2", "a,3+", "b,0")
    joined = her2qp.make_cohort([tmp_path / "p"], tmp_path / "out.csv", labels=labels)
    assert "Different slides have one name, and with it one label: a." in joined.notes


def test_from_the_command_line(project: Path, tmp_path: Path) -> None:
    labels = write(tmp_path / "l.csv", "PATIENT,HER2", "P1,3+", "P2,1+", "P9,0")
    done = run("cohort", project, tmp_path / "out.csv", "--labels", labels, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["slides"], document["patients"], document["labels_without_image"]) == (3, 2, ["p9"])
    assert document["counts"] == {"0": 0, "1+": 2, "2+": 0, "3+": 1} and len(document["left_out"]) == 4
    spoken = run("cohort", project, tmp_path / "out.csv", "--labels", labels, "--scheme", "status")
    assert "3 slides of 2 patients (negative: 2, positive: 1)" in spoken.stdout
    assert (
        "1 labels match no image: p9" in spoken.stderr and "left out Q.svs: there is no label for it" in spoken.stderr
    )
    for words, sentence in [
        (("--label-column", "HER2 predicted"), "is what her2qp predicted, not a label"),
        (("--where", "kind"), "'kind' is not of the form COLUMN=VALUE"),
        (("--labels", tmp_path / "none.xlsx"), "the table cannot be read"),
    ]:
        failed = run("cohort", project, tmp_path / "out2.csv", *words)
        assert failed.returncode == 2 and sentence in failed.stderr and "Traceback" not in failed.stderr
