"""Evaluations as tables on stdout, the baselines always beside the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from her2qp.cli.console import table_console
from her2qp.scoring.vocabulary import RESEARCH_USE

if TYPE_CHECKING:
    from her2qp.evaluation import Evaluation
    from her2qp.evaluation.comparison import Comparison

_SHOWN = ("accuracy", "balanced_accuracy", "auc_macro_ovr", "macro_f1", "quadratic_weighted_kappa", "nll")


def print_evaluation(evaluation: Evaluation, title: str) -> None:
    """Print a model, what needs no morphology, and what the figures do not show."""
    from her2qp.evaluation.metrics import METRICS
    from her2qp.evaluation.report import rows_of

    judged = evaluation.predictions
    table = Table(title=f"{escape(title)}: {len(judged)} cases, 95 % intervals", title_justify="left")
    table.add_column("predictor")
    for name in _SHOWN:
        table.add_column(METRICS[name].title, justify="right")
    for row in rows_of([evaluation]):
        cells = [str(row["values"][name]).replace(" (", "\n(") for name in _SHOWN]
        table.add_row(escape(row["name"]), *cells, style=None if row["kind"] == "model" else "dim")
    console = table_console()
    console.print(table)
    for text in (*evaluation.cautions, *evaluation.notes):
        console.print(f"- {text}", markup=False, highlight=False)


def print_comparison(comparison: Comparison) -> None:
    """Print every difference of two models with its interval."""
    from her2qp.evaluation.metrics import METRICS

    title = f"{comparison.one} less {comparison.other}: {comparison.cases} cases, paired bootstrap, 95 % intervals"
    table = Table(title=escape(title), title_justify="left")
    for heading in ("metric", "difference", "p"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for name, difference in comparison.differences.items():
        if name in METRICS:
            table.add_row(METRICS[name].title, str(difference.interval), f"{difference.p_value:.3f}")
    for name, test in comparison.delong.items():
        table.add_row(escape(f"AUC of {name} (DeLong)"), str(test.difference), f"{test.p_value:.3f}")
    table_console().print(table)


def print_notice(notice: str) -> None:
    """Print what must stand beside every figure."""
    text = notice if notice in RESEARCH_USE else f"{notice} {RESEARCH_USE}"
    table_console().print(text.strip(), style="yellow", highlight=False, markup=False)
