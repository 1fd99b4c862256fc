"""Predictions as a CSV file, so that those of any model can be judged.

One row a slide: ``PATIENT``, ``FILENAME``, ``SITE`` (may be absent), ``LABEL`` (name of the class) and the probability
of each class in ``p(CLASS)``, in the order of the classes. Every other column is a covariate: a column in which every
value is a number or empty is read as numbers, any other as text.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import EvaluationError
from her2qp.evaluation.predictions import Predictions
from her2qp.tabular import Column, as_column, read_columns, write_columns

PATIENT, SLIDE, SITE, LABEL = "PATIENT", "FILENAME", "SITE", "LABEL"


def read_predictions(path: str | Path, *, name: str | None = None) -> Predictions:
    """Read predictions from CSV or Excel.

    Parameters
    ----------
    path
        The file; see :func:`her2qp.tabular.read_columns`.
    name
        Of the model; the file's name without its suffix if None.

    Raises
    ------
    EvaluationError
        The file cannot be read, a column is missing, a label is no class, or a probability is no number.
    """
    file = Path(path)
    columns = read_columns(file, EvaluationError)
    classes = tuple(c[2:-1] for c in columns if c.startswith("p(") and c.endswith(")"))
    missing = [column for column in (PATIENT, LABEL) if column not in columns]
    if missing or len(classes) < 2:
        raise EvaluationError(
            f"a table of predictions needs the columns {PATIENT}, {LABEL} and p(CLASS) for each class; "
            f"this one has {', '.join(columns)}",
            where=file,
        )
    probability_columns = [f"p({c})" for c in classes]
    known = {PATIENT, SLIDE, SITE, LABEL, *probability_columns}
    number_of = {c: k for k, c in enumerate(classes)}
    unknown = sorted({label for label in columns[LABEL] if label not in number_of})
    if unknown:
        raise EvaluationError(f"the label {unknown[0]!r} is none of the classes {', '.join(classes)}", where=file)
    return Predictions(
        labels=np.array([number_of[label] for label in columns[LABEL]], np.int64),
        classes=classes,
        patients=np.array(columns[PATIENT]),
        slides=np.array(columns.get(SLIDE, columns[PATIENT])),
        sites=np.array(columns[SITE]) if SITE in columns else None,
        covariates={c: as_column(values) for c, values in columns.items() if c not in known},
        probabilities=np.column_stack([_numbers(columns[c], c, file) for c in probability_columns]),
        name=file.stem if name is None else name,
    )


def write_predictions(predictions: Predictions, path: str | Path) -> None:
    """Write predictions as CSV, so that :func:`read_predictions` reads the same back.

    Raises
    ------
    EvaluationError
        The file cannot be written.
    """
    columns: dict[str, Column | list[str]] = {PATIENT: predictions.patients, SLIDE: predictions.slides}
    if predictions.sites is not None:
        columns[SITE] = predictions.sites
    columns[LABEL] = [predictions.classes[label] for label in predictions.labels]
    columns |= {f"p({c})": p for c, p in zip(predictions.classes, predictions.probabilities.T, strict=True)}
    columns |= predictions.covariates
    write_columns(Path(path), [(name, [*map(_cell, values)]) for name, values in columns.items()], EvaluationError)


def _numbers(values: list[str], column: str, file: Path) -> NDArray[np.float64]:
    try:
        return np.array([float(value) for value in values])
    except ValueError as error:
        raise EvaluationError(f"in column {column}, {error}", where=file) from error


def _cell(value: np.generic | str) -> str:
    if isinstance(value, np.floating):
        return "" if np.isnan(value) else repr(float(value))
    return str(value)
