"""The TCGA-BRCA patients with a diagnostic slide and a known IHC grade."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from evaluation.cases import GRADES

from her2qp.evaluation.predictions import Cases


def read_tcga(shared: Path) -> Cases:
    with (shared / "data" / "labels" / "tcga_brca_her2_ihc_labels_derived.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["has_dx_slide"] == "True" and r["her2_ihc_score"] in GRADES]
    names = np.array([row["bcr_patient_barcode"] for row in rows])
    columns = ("er_status_by_ihc", "pr_status_by_ihc", "histological_type")
    return Cases(
        labels=np.array([GRADES.index(row["her2_ihc_score"]) for row in rows]),
        classes=GRADES,
        patients=names,
        slides=names,
        sites=np.array([row["tss"] for row in rows]),
        covariates={column: np.array([row[column] for row in rows]) for column in columns},
    )
