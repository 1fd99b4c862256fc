"""The slides of a run as a table, with what each of its models used them for: ``cases.csv``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from her2qp.errors import TrainingError
from her2qp.evaluation.predictions import Cases
from her2qp.evaluation.predictions_file import LABEL, PATIENT, SITE, SLIDE
from her2qp.tabular import Column, as_column, read_columns, write_columns
from her2qp.training.splits import Split

CASES = "cases.csv"

_MODEL = "used by model "
_LEARNT = {"training", "validation"}


def write_cases(folder: Path, cases: Cases, splits: list[Split]) -> None:
    """Write the table, one column a model.

    Raises
    ------
    TrainingError
        It cannot be written.
    """
    columns: dict[str, Column] = {PATIENT: cases.patients, SLIDE: cases.slides}
    columns |= {} if cases.sites is None else {SITE: cases.sites}
    columns |= {LABEL: np.array(cases.classes)[cases.labels], **cases.covariates}
    for number, split in enumerate(splits, start=1):
        use = np.full(len(cases), "", "<U10")
        for name in (*_LEARNT, "test"):
            use[getattr(split, name)] = name
        columns[f"{_MODEL}{number}"] = use
    text = [(name, ["" if value != value else str(value) for value in values]) for name, values in columns.items()]
    write_columns(folder / CASES, text, TrainingError)


def read_learnt_cases(folder: Path, classes: tuple[str, ...]) -> Cases:
    """Read the slides that some model learnt from or was stopped by.

    Raises
    ------
    TrainingError
        The table cannot be read, or is not that of a run.
    """
    file = folder / CASES
    columns = read_columns(file, TrainingError)
    models = [name for name in columns if name.startswith(_MODEL)]
    if not models or not {PATIENT, SLIDE, LABEL} <= columns.keys() or not {*columns[LABEL]} <= {*classes}:
        raise TrainingError("the table is not that of a run", where=file)
    rows = [row for row in range(len(columns[PATIENT])) if {columns[name][row] for name in models} & _LEARNT]
    kept = {name: [values[row] for row in rows] for name, values in columns.items()}
    return Cases(
        labels=np.array([classes.index(label) for label in kept[LABEL]]),
        classes=classes,
        patients=np.array(kept[PATIENT]),
        slides=np.array(kept[SLIDE]),
        sites=np.array(kept[SITE]) if SITE in kept else None,
        covariates={n: as_column(v) for n, v in kept.items() if n not in {PATIENT, SLIDE, SITE, LABEL, *models}},
    )
