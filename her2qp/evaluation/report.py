"""The report of an evaluation: one HTML file that needs nothing beside it, and the same figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from her2qp.errors import EvaluationError
from her2qp.evaluation.attentionmaps import AttentionMap, Shown, choose_maps
from her2qp.evaluation.comparison import Comparison, compare
from her2qp.evaluation.evaluation import Evaluation
from her2qp.evaluation.faithfulness import mean_gains
from her2qp.evaluation.figures import calibration_figures, faithfulness_figures, roc_figures, threshold_figure
from her2qp.evaluation.intervals import Interval
from her2qp.evaluation.metrics import METRICS, confusion_matrices, unweighted
from her2qp.evaluation.thresholds import GRID, Cut, cuts, error_rates
from her2qp.provenance import her2qp_version, now
from her2qp.scoring.vocabulary import RESEARCH_USE

_THRESHOLDS_SHOWN = GRID[1::2]
RETRAINED = "labels permuted, mean pooling trained on them"


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    other: Evaluation | None = None,
    *,
    comparison: Comparison | None = None,
    maps: Sequence[AttentionMap] = (),
    notice: str = "",
) -> Path:
    """Write an evaluation, or two models beside each other, as HTML, and as JSON beside it.

    Parameters
    ----------
    path
        The HTML file; the JSON file has the same name but ``.json``.
    evaluation
        Of the model.
    other
        Of a second model on the same cases.
    comparison
        Of the two; made here if None.
    maps
        Attention of slides; those of the surest right and the surest wrong cases are shown.
    notice
        What must be said first, such as that the slides are artificial.

    Returns
    -------
    Path
        The JSON file.

    Raises
    ------
    EvaluationError
        The name does not end in .html, a file cannot be written, or the two models were not judged on the same cases.
    """
    page = Path(path)
    if page.suffix.lower() not in (".html", ".htm"):
        raise EvaluationError("a report is a page, and its name ends in .html", where=page)
    if other is not None and comparison is None:
        comparison = compare(evaluation.predictions, other.predictions)
    evaluations = [evaluation] if other is None else [evaluation, other]
    document = {
        "her2qp": her2qp_version(),
        "written": now().isoformat(),
        "notice": notice,
        "research_use": RESEARCH_USE,
        "evaluations": [each.to_json() for each in evaluations],
        "comparison": None if comparison is None else comparison.to_json(),
    }
    data = page.with_suffix(".json")
    try:
        shown = choose_maps(evaluation.predictions, maps)
        page.write_text(_render(evaluations, comparison, shown, notice), encoding="utf-8")
        data.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"the report cannot be written ({error.strerror})", where=page) from error
    return data


def _render(
    evaluations: Sequence[Evaluation], comparison: Comparison | None, shown: Sequence[Shown], notice: str
) -> str:
    environment = Environment(
        loader=PackageLoader("her2qp.evaluation", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["three"] = _three
    first = evaluations[0]
    models = [each.predictions for each in evaluations]
    return environment.get_template("page.html").render(
        evaluations=evaluations,
        classes=first.predictions.classes,
        counts=first.predictions.counts.tolist(),
        metrics=METRICS,
        rows=rows_of(evaluations),
        rocs=roc_figures(models, first.baselines.get("site only")),
        calibrations=calibration_figures(models),
        confusions=[confusion_matrices(model, unweighted(model))[0].astype(int).tolist() for model in models],
        cuts=[_cut_section(cut, first) for cut in cuts(first.predictions)],
        faithfulness=faithfulness_figures(first.faithfulness) if first.faithfulness else [],
        gains=mean_gains(first.faithfulness) if first.faithfulness else {},
        comparison=comparison,
        shown=shown,
        notice=notice,
        research_use=RESEARCH_USE,
        version=her2qp_version(),
        written=now().strftime("%Y-%m-%d %H:%M UTC"),
    )


def rows_of(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Rows of the table of results: models, then what needs no morphology; `name`, `kind` and `values` by metric."""
    rows = [{"name": each.predictions.name, "kind": "model", "values": each.metrics} for each in evaluations]
    for name, metrics in evaluations[0].baseline_metrics.items():
        rows.append({"name": name, "kind": "baseline", "values": metrics})
    rows.append({"name": "labels permuted", "kind": "baseline", "values": evaluations[0].chance})
    if evaluations[0].retrained:
        rows.append({"name": RETRAINED, "kind": "baseline", "values": evaluations[0].retrained})
    return rows


def _cut_section(cut: Cut, evaluation: Evaluation) -> dict[str, Any]:
    chosen = evaluation.thresholds.get(cut.name)
    thresholds = _THRESHOLDS_SHOWN if chosen is None else np.sort(np.append(_THRESHOLDS_SHOWN, chosen))
    rates = error_rates(cut, thresholds)
    return {
        "name": cut.name,
        "figure": threshold_figure(cut),
        "positives": int(cut.positive.sum()),
        "negatives": int((~cut.positive).sum()),
        "rows": [
            {
                "threshold": float(threshold),
                "chosen": threshold == chosen,
                "fpr": Interval(float(rates.fpr[i]), *map(float, rates.fpr_ends[:, i])),
                "fnr": Interval(float(rates.fnr[i]), *map(float, rates.fnr_ends[:, i])),
            }
            for i, threshold in enumerate(thresholds)
        ],
    }


def _three(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:.3f}".replace("-", "−")
