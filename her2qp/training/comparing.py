"""Two runs, or two tables of predictions, for the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from her2qp.errors import TrainingError
from her2qp.evaluation import Evaluation, Evidence, Predictions, compare, evaluate, read_predictions, write_report
from her2qp.evaluation.comparison import Comparison
from her2qp.evaluation.intervals import REPLICATES
from her2qp.training.data import TUMOUR_AREA
from her2qp.training.judging import FOLD, PREDICTIONS
from her2qp.training.runfolder import is_run, read_record


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Two models on the same cases.

    Parameters
    ----------
    one, other
        What is known of each.
    comparison
        Their differences.
    report
        HTML page of both; None if none was asked for.
    """

    one: Evaluation
    other: Evaluation
    comparison: Comparison
    report: Path | None

    def to_json(self) -> dict[str, Any]:
        """Return what the command line prints as JSON."""
        return {
            "evaluations": [self.one.to_json(), self.other.to_json()],
            "comparison": self.comparison.to_json(),
            "report": None if self.report is None else str(self.report),
        }


def compare_runs(
    one: str | Path,
    other: str | Path,
    report: str | Path | None = None,
    *,
    clinical: Sequence[str] = (),
    replicates: int = REPLICATES,
) -> Compared:
    """Compare two models on the same cases: paired bootstrap of every metric, DeLong for the AUC of every class.

    Parameters
    ----------
    one, other
        Folders of runs, or tables of predictions as :func:`her2qp.evaluation.read_predictions` reads them.
    report
        Where to write a page with the curves of both in one figure.
    clinical
        Covariates for the baseline "clinical only".
    replicates
        How often patients are resampled.

    Raises
    ------
    EvaluationError
        A table cannot be read, or the two are not about the same cases.
    TrainingError
        A folder holds no evaluated run.
    """
    read = [_read(Path(path)) for path in (one, other)]
    if read[0][0].name == read[1][0].name:
        read = [
            (replace(said, name=f"{said.name} ({mark})"), notice)
            for (said, notice), mark in zip(read, "AB", strict=True)
        ]
    predictions = [said.by_patient() for said, _ in read]
    comparison = compare(*predictions, replicates=replicates)
    evaluations = [evaluate(said, _evidence(said, clinical), replicates=replicates) for said in predictions]
    page = None if report is None else Path(report)
    if page is not None:
        notices = " ".join(dict.fromkeys(notice for _, notice in read if notice))
        write_report(page, evaluations[0], evaluations[1], comparison=comparison, notice=notices)
    return Compared(evaluations[0], evaluations[1], comparison, page)


def _read(path: Path) -> tuple[Predictions, str]:
    """Predictions of a run or a table, and what must be said with them."""
    if not path.is_dir():
        return read_predictions(path), ""
    if not is_run(path) or not (path / PREDICTIONS).is_file():
        raise TrainingError("the folder holds no run that was judged", where=path, remedy="Run `her2qp crossval`.")
    return read_predictions(path / PREDICTIONS, name=path.resolve().name), str(read_record(path).get("notice", ""))


def _evidence(predictions: Predictions, clinical: Sequence[str]) -> Evidence:
    known = predictions.covariates
    area = TUMOUR_AREA if TUMOUR_AREA in known else None
    if FOLD not in known:
        return Evidence(clinical=clinical, tumour_area=area)
    folds = np.asarray(known[FOLD], np.float64).astype(np.int64).tolist()
    return Evidence(
        clinical=clinical,
        tumour_area=area,
        fold_of=dict(zip(predictions.patients.tolist(), folds, strict=True)),
    )
