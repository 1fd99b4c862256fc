"""How well the hospital alone predicts HER2 in TCGA-BRCA, without a look at any slide.

    python examples/site_baseline.py tcga_brca_labels.csv

The table has one row a patient with ``bcr_patient_barcode`` and ``her2_ihc_score`` (0, 1+, 2+, 3+; other rows are left
out), as in the clinical table of the GDC; rows whose ``has_dx_slide``, if there is such a column, is not ``True`` are
left out too. The site is the second part of the barcode.

A model whose AUC on a random split of TCGA is near this one has shown nothing about morphology.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from her2qp.evaluation import METRICS, Cases, majority_class, out_of_fold, site_only, summarise
from her2qp.training.folds import site_preserving_folds, stratified_folds

GRADES = ("0", "1+", "2+", "3+")
SEEDS = range(20)


def read_cases(table: Path) -> Cases:
    """Read the patients whose grade is known."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("has_dx_slide", "True") == "True"]
    rows = [row for row in rows if row["her2_ihc_score"] in GRADES]
    patients = np.array([row["bcr_patient_barcode"] for row in rows])
    return Cases(
        labels=np.array([GRADES.index(row["her2_ihc_score"]) for row in rows]),
        classes=GRADES,
        patients=patients,
        slides=patients,
        sites=np.array([patient.split("-")[1] for patient in patients]),
    )


def show(what: str, summaries: Sequence[dict[str, float]]) -> None:
    """Print mean and standard deviation over seeds."""
    print(f"{what}:")
    for metric in ("auc_macro_ovr", "accuracy", *(f"auc({grade})" for grade in GRADES)):
        values = [summary[metric] for summary in summaries]
        title = METRICS[metric].title if metric in METRICS else metric
        print(f"  {title:<18}{np.mean(values):.3f} ± {np.std(values):.3f}")


def main(table: str) -> None:
    """Judge the baselines on random folds, and the site on folds that keep every site whole."""
    cases = read_cases(Path(table))
    counts = ", ".join(f"{grade} {count}" for grade, count in zip(GRADES, cases.counts, strict=True))
    print(f"{len(cases)} patients of {len(set(cases.sites))} sites ({counts}); five folds, {len(SEEDS)} seeds\n")
    at_random = [stratified_folds(cases.labels, cases.patients, seed=seed) for seed in SEEDS]
    by_site = [site_preserving_folds(cases.labels, cases.patients, cases.sites, seed=seed) for seed in SEEDS]
    show("Majority class", [summarise(cases.judged(majority_class(cases, cases), "majority class"))])
    for what, folds in (("Site only, random folds", at_random), ("Site only, whole sites held out", by_site)):
        show(what, [summarise(out_of_fold(site_only, cases, fold, what)) for fold in folds])
    print("Below 0.5 is no signal either: a fold rich in a class leaves the others poor in it.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: site_baseline.py TABLE.csv")
    main(sys.argv[1])
