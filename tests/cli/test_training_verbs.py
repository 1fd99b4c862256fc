"""Training verbs as a user runs them: what is printed beside each figure, what is resumed, what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from support import contents, run
from training.artificial import CLASSES, make_cohort, write_features

from her2qp.models.bundle import Bundle

SETTINGS = """\
model: {architecture: abmil, hyperparameters: {width: 16, gate_width: 8}}
fit: {epochs: 25, learning_rate: 2e-2, batch_size: 8, patience: 25}
protocol: {folds: 3, validation_folds: 3}
judging: {replicates: 30, permutations: 20, retrained_permutations: 2, attention_slides: 2, clinical: [ER]}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort, its features, settings, and a cross-validation in ``run``."""
    folder = tmp_path_factory.mktemp("lab")
    make_cohort(folder, 36)
    (folder / "run.yaml").write_text(SETTINGS)
    done = run(*crossval_of(folder), "--out", folder / "run", "--artificial", "--json")
    assert done.returncode == 0, done.stderr
    (folder / "run.json").write_text(done.stdout)
    return folder


def crossval_of(folder: Path) -> tuple[object, ...]:
    options = ("--features", folder / "features", "--config", folder / "run.yaml")
    return ("crossval", folder / "cohort.csv", *options)


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_crossval_finds_a_planted_signal_and_says_what_needs_no_morphology(lab: Path) -> None:
    document = json.loads((lab / "run.json").read_text())
    found = document["evaluation"]
    assert found["cases"] == 36 and found["metrics"]["auc_macro_ovr"]["estimate"] > 0.8
    assert list(found["baselines"]) == ["majority class", "site only", "clinical only", "tumour area only"]
    assert found["labels_permuted"]["auc_macro_ovr"]["high"] < 0.8
    assert found["trained_on_permuted_labels"]["auc_macro_ovr"]["estimate"] < 0.75
    assert set(found["site_from_embeddings"]) == {"mean features", "what model 1 pools", "majority"}
    assert set(found["auc_within_sites"]) == set(CLASSES)
    assert found["faithfulness"]["slides"] == 2
    assert "artificial slides or invented labels" in document["notice"]
    page = (lab / "run" / "evaluation.html").read_text(encoding="utf-8")
    assert document["notice"] in page and "data:image/png" in page and "Attention of the surest cases" in page


def test_every_slide_is_judged_by_a_model_that_has_not_seen_its_patient(lab: Path) -> None:
    cases = {row["FILENAME"]: row for row in rows_of(lab / "run" / "cases.csv")}
    for number in (1, 2, 3):
        for part in ("test", "validation"):
            for row in rows_of(lab / "run" / "models" / str(number) / f"{part}.csv"):
                assert cases[row["FILENAME"]][f"used by model {number}"] == part
    judged = rows_of(lab / "run" / "evaluation-predictions.csv")
    assert [row["FILENAME"] for row in judged] == list(cases)


def test_the_run_tells_what_it_is_made_of_and_its_echo_makes_it_again(lab: Path, tmp_path: Path) -> None:
    record = json.loads((lab / "run" / "run.json").read_text())
    assert set(record["versions"]) >= {"her2qp", "python", "torch"}
    assert record["cohort"]["slides_of_class"] == dict.fromkeys(CLASSES, 9)
    assert len(record["decisive"]["data_sha256"]) == 64 and record["hyperparameters"]["gate_width"] == 8
    echo = yaml.safe_load((lab / "run" / "config.yaml").read_text())
    assert echo["fit"]["weight_decay"] == 0.01 and echo["judging"]["clinical"] == ["ER"] and echo["artificial"]
    done = run("crossval", lab / "run" / "config.yaml", "--out", tmp_path / "again", "--json")
    assert done.returncode == 0, done.stderr
    bundles = [(folder / "bundle" / "model.safetensors").read_bytes() for folder in (lab / "run", tmp_path / "again")]
    assert bundles[0] == bundles[1], "the same settings and seeds give the same weights"


def test_the_bundle_holds_all_folds_and_says_what_it_is(lab: Path) -> None:
    bundle = Bundle.load(lab / "run" / "bundle")
    assert bundle.is_demo and bundle.classes == CLASSES and len(bundle.config.hyperparameters["temperatures"]) == 3
    assert "majority class" in bundle.card and "invented labels" in bundle.card
    assert bundle.config.training.seeds == (0, 1, 2)


def test_finished_models_are_not_trained_again(lab: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(lab / "run", copy)
    shutil.rmtree(copy / "models" / "2")
    kept = {path: path.stat().st_mtime_ns for path in copy.glob("models/*/model.safetensors")}
    before = contents(copy)
    done = run(*crossval_of(lab), "--out", copy, "--artificial", "--json")
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    after = contents(copy)
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed <= {"evaluation.html", "evaluation.json", "config.yaml"}, "the time of writing, and the path"


def test_a_folder_keeps_to_its_run(lab: Path) -> None:
    done = run(*crossval_of(lab), "--out", lab / "run", "--epochs", 3)
    assert done.returncode == 2 and "another run: fit.epochs was 25, now 3" in done.stderr
    done = run(*crossval_of(lab), "--out", lab / "features")
    assert done.returncode == 2 and "holds other things than a run" in done.stderr
    damaged = lab / "damaged"
    shutil.copytree(lab / "run", damaged)
    (damaged / "models" / "1" / "model.safetensors").write_bytes(b"x")
    done = run(*crossval_of(lab), "--out", damaged, "--artificial")
    assert done.returncode == 2 and "model.safetensors: the file is damaged. Delete" in done.stderr


def test_the_protocol_of_du_et_al_and_other_patients(lab: Path, tmp_path: Path) -> None:
    other = make_cohort(tmp_path / "other", 16, seed=3, prefix="X")
    without_er = tmp_path / "without-er.csv"
    without_er.write_text("\n".join(line.rpartition(",")[0] for line in other.read_text().splitlines()))
    config = yaml.safe_load(SETTINGS) | {
        "protocol": {"kind": "du2025", "folds": 3},
        "external": {"cohort": str(without_er), "features": str(other.parent / "features")},
    }
    (tmp_path / "du.yaml").write_text(yaml.safe_dump(config))
    options = ("--features", lab / "features", "--config", tmp_path / "du.yaml")
    done = run("crossval", lab / "cohort.csv", *options, "--out", tmp_path / "du", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["evaluation"]["cases"] == 11, "30 % of 36 patients"
    assert document["evaluation"]["spread_over_models"]["accuracy"]["sd"] is not None
    assert set(document["evaluation"]["thresholds_from_validation"]) == {"0 | ≥1+", "≤1+ | ≥2+", "<3+ | 3+"}
    assert document["external"]["cases"] == 16 and document["external"]["metrics"]["auc_macro_ovr"]["estimate"] > 0.7
    judged = run("evaluate", tmp_path / "du", other, "--features", other.parent / "features", "--out", tmp_path / "ev")
    assert judged.returncode == 0 and "sites that the model learnt from" in " ".join(judged.stdout.split())
    (tmp_path / "ev.yaml").write_text("cohort: other/cohort.csv\nfeatures: other/features\n")
    again = run("evaluate", tmp_path / "du", tmp_path / "ev.yaml", "--out", tmp_path / "ev2")
    assert again.returncode == 0, again.stderr
    tables = [(tmp_path / folder / "evaluation-predictions.csv").read_bytes() for folder in ("ev", "ev2")]
    assert tables[0] == tables[1]
    (tmp_path / "ev.yaml").write_text("cohort: other/cohort.csv\nfeature: other/features\n")
    wrong = run("evaluate", tmp_path / "du", tmp_path / "ev.yaml", "--out", tmp_path / "ev3")
    assert wrong.returncode == 2 and "ev.yaml, line 2: feature: there is no such setting" in wrong.stderr
    held_out = run("evaluate", tmp_path / "du", lab / "cohort.csv", "--features", lab / "features", "--out", tmp_path)
    assert held_out.returncode == 2 and "25 of the judged patients are among the training cases" in held_out.stderr


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"prefix": "P"}, "external cohort: 20 of the judged patients are among the training cases"),
        (
            {"prefix": "X", "dimension": 9},
            "features of the external cohort are others (cohort, external: dimension: 8, 9)",
        ),
        (
            {"prefix": "X", "classes": ("positive", "negative")},
            "classes of training are 0, 1+, 2+, 3+, those judged neg",
        ),
        (None, "cohort.csv: the table cannot be read"),
    ],
)
def test_other_patients_who_cannot_be_judged_are_told_before_the_training(
    made: dict[str, Any] | None, says: str, lab: Path, tmp_path: Path
) -> None:
    if made is not None:
        make_cohort(tmp_path / "other", 20, seed=3, **made)
    external = {"cohort": "other/cohort.csv", "features": "other/features"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({**yaml.safe_load(SETTINGS), "external": external}))
    options = ("--features", lab / "features", "--config", tmp_path / "run.yaml", "--out", tmp_path / "run")
    done = run("crossval", lab / "cohort.csv", *options)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()


def test_compare_tells_two_runs_apart_and_shows_both_in_one_figure(lab: Path, tmp_path: Path) -> None:
    blind = ("--out", tmp_path / "blind", "--epochs", 1, "--name", "blind")
    assert run(*crossval_of(lab), *blind).returncode == 0
    done = run(
        "compare", lab / "run", tmp_path / "blind", "--report", tmp_path / "both.html", "--replicates", 30, "--json"
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)["comparison"]
    auc = document["paired_bootstrap"]["auc_macro_ovr"]
    assert document["difference_of"] == ["run", "blind"] and auc["low"] > 0 and auc["p"] < 0.1
    assert document["delong_auc_one_vs_rest"]["3+"]["estimate"] > 0
    page = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert page.count('class="model1"') > 4 and "invented labels" in page
    shown = run("compare", lab / "run", lab / "run" / "evaluation-predictions.csv", "--replicates", 10)
    assert shown.returncode == 0 and "0.000 (0.000 to 0.000)" in shown.stdout
    table = rows_of(lab / "run" / "evaluation-predictions.csv")[1:]
    with (tmp_path / "fewer.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    done = run("compare", lab / "run", tmp_path / "fewer.csv")
    assert done.returncode == 2 and "not about the same slides" in done.stderr


def test_train_leaves_a_bundle_and_claims_nothing(lab: Path, tmp_path: Path) -> None:
    options = ("--features", lab / "features", "--config", lab / "run.yaml", "--epochs", 2)
    done = run("train", lab / "cohort.csv", *options, "--out", tmp_path / "trained", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["evaluation"] is None
    assert "It was not judged" in Bundle.load(tmp_path / "trained" / "bundle").card
    done = run("compare", lab / "run", tmp_path / "trained")
    assert done.returncode == 2 and "no run that was judged" in done.stderr


def test_train_judges_its_models_on_the_external_cohort(lab: Path, tmp_path: Path) -> None:
    make_cohort(tmp_path / "other", 16, seed=3, prefix="X")
    external = {"cohort": "other/cohort.csv", "features": "other/features"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({**yaml.safe_load(SETTINGS), "external": external}))
    options = ("--features", lab / "features", "--config", tmp_path / "run.yaml", "--epochs", 2)
    done = run("train", lab / "cohort.csv", *options, "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["evaluation"] is None and document["external"]["cases"] == 16
    assert document["external"]["baselines"] and Path(document["external_report"]).is_file()
    make_cohort(tmp_path / "other", 16, seed=3, prefix="P")
    done = run("train", lab / "cohort.csv", *options, "--out", tmp_path / "again")
    assert done.returncode == 2 and "16 of the judged patients are among the training cases" in done.stderr
    assert not (tmp_path / "again").exists()


def relabel(lab: Path, change: Callable[[int, str], str], patients: dict[int, str] | None = None) -> None:
    rows = rows_of(lab / "cohort.csv")
    for number, row in enumerate(rows):
        row["HER2"] = change(number, row["HER2"])
        row["PATIENT"] = (patients or {}).get(number, row["PATIENT"])
    with (lab / "cohort.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rewrite(lab: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with h5py.File(lab / "features" / "P5.h5") as file:
        features, corners = file["features"][:], file["coords"][:]
    changed = change(features)
    write_features(lab / "features" / "P5.h5", changed, corners[: len(changed)])


def fold_column(lab: Path) -> None:
    rows = rows_of(lab / "cohort.csv")
    rows[1]["PATIENT"] = rows[5]["PATIENT"]  # both 1+
    table = [{**row, "FOLD": f"F{number % 3}"} for number, row in enumerate(rows)]
    with (lab / "cohort.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    (lab / "run.yaml").write_text(SETTINGS.replace("folds: 3,", "fold_column: FOLD,", 1))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda lab: relabel(lab, lambda n, label: "3+"), "one class alone cannot be told from another"),
        (lambda lab: relabel(lab, lambda n, label: "0" if label == "1+" else label), "class 1+ has 0 patients"),
        (lambda lab: relabel(lab, lambda n, label: "0" if n > 8 else label), "class 1+ has 2 patients; these folds"),
        (lambda lab: relabel(lab, lambda n, label: "high"), "high"),
        (fold_column, "P5: the patient is in two folds, F1 and F2"),
        (lambda lab: relabel(lab, lambda n, label: label, {6: "P5"}), "P5: the patient's slides have different labels"),
        (lambda lab: rewrite(lab, lambda features: features * np.nan), "P5.svs: the features of"),
        (lambda lab: rewrite(lab, lambda features: features[:, :5]), "different dimensions: 8 in P0.h5, 5 here"),
        (lambda lab: rewrite(lab, lambda features: features[:0]), "the slide has no tile"),
        (lambda lab: (lab / "features" / "P5.h5").unlink(), "P5"),
        (lambda lab: (lab / "cohort.csv").unlink(), "cohort.csv"),
        (
            lambda lab: (lab / "run.yaml").write_text("fit: {epochs: 1, patience: many}"),
            "run.yaml, line 1: fit.patience",
        ),
        (lambda lab: (lab / "run.yaml").write_text("judging: {clinical: [grade]}"), "no column 'grade'"),
    ],
)
def test_bad_input_gets_one_clear_sentence(
    lab: Path, tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    copy = tmp_path / "lab"
    copy.mkdir()
    shutil.copytree(lab / "features", copy / "features")
    shutil.copy(lab / "cohort.csv", copy)
    shutil.copy(lab / "run.yaml", copy)
    spoil(copy)
    done = run(*crossval_of(copy), "--out", copy / "out", "--epochs", 1)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    error = [line for line in done.stderr.splitlines() if line.startswith("her2qp: ")]
    assert len(error) == 1 and says in error[0], done.stderr


def test_options_without_a_place_to_write_are_refused(lab: Path) -> None:
    done = run("crossval", lab / "cohort.csv", "--features", lab / "features")
    assert done.returncode == 2 and "--out" in done.stderr and "name the folder of the run" in done.stderr
    done = run("crossval", lab / "run.yaml", "--config", lab / "run.yaml")
    assert done.returncode == 2 and "give the configuration once" in done.stderr
