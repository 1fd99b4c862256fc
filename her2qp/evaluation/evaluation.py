"""One model on one set of cases, with everything that must be said beside the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import EvaluationError
from her2qp.evaluation.calibrationline import CalibrationLine, calibration_line
from her2qp.evaluation.cautions import cautions
from her2qp.evaluation.confounding import probe_site, within_site_auc
from her2qp.evaluation.evidence import Evidence
from her2qp.evaluation.faithfulness import SHARES, Faithfulness, mean_gains
from her2qp.evaluation.intervals import REPLICATES, Interval, bootstrap, percentile_interval
from her2qp.evaluation.metrics import confusion_matrices, summarise, unweighted
from her2qp.evaluation.permutation import PERMUTATIONS, permutation_null
from her2qp.evaluation.predictions import Cases, Predictions
from her2qp.evaluation.thresholds import ErrorRates, balanced_threshold, cuts, error_rates

Metrics = dict[str, Interval]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What is known of how good a model is.

    Parameters
    ----------
    predictions
        As judged: one a patient, unless slides were asked for.
    metrics
        Of the model, by exact name, with 95 % intervals.
    baselines
        Predictions that use no morphology, by name.
    baseline_metrics
        Of each of them.
    chance
        Mean of each metric with the labels permuted, and where 95 % of the permutations lie.
    thresholds
        By cut, chosen on validation cases; empty without such.
    member_spread
        Mean and standard deviation of each metric over several models of one protocol; empty without such. It is what
        Du et al. print after ±, and no interval: it does not know how few the cases are.
    within_site
        AUC of each class within sites; empty if the sites are not known.
    site_probe
        Metrics of telling the site from slide embeddings, by what they are, and of naming the ``majority``; empty
        without embeddings.
    retrained
        Mean of each metric of models that were trained on permuted labels, and where 95 % of them lie; empty without
        such.
    faithfulness
        Of single slides; empty where attention was not checked.
    notes
        What could not be computed, and why.
    """

    predictions: Predictions
    metrics: Metrics
    baselines: dict[str, Predictions]
    baseline_metrics: dict[str, Metrics]
    chance: Metrics
    thresholds: dict[str, float] = field(default_factory=dict)
    member_spread: dict[str, tuple[float, float]] = field(default_factory=dict)
    within_site: Metrics = field(default_factory=dict)
    site_probe: dict[str, Metrics] = field(default_factory=dict)
    retrained: Metrics = field(default_factory=dict)
    faithfulness: tuple[Faithfulness, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cautions(self) -> list[str]:
        """Sentences on what these figures do not show."""
        return cautions(self.metrics, self.baseline_metrics, self.chance, self.within_site)

    @property
    def calibration(self) -> dict[str, CalibrationLine]:
        """Slope and intercept of calibration, by cut."""
        return {cut.name: calibration_line(cut.scores, cut.positive) for cut in cuts(self.predictions)}

    def to_json(self) -> dict[str, Any]:
        """Return everything but single predictions as a JSON document."""
        judged = self.predictions
        rates = {cut.name: error_rates(cut) for cut in cuts(judged)}
        return {
            "model": judged.name,
            "cases": len(judged),
            "patients": len(set(judged.patients)),
            "counts": dict(zip(judged.classes, judged.counts.tolist(), strict=True)),
            "metrics": _json_of(self.metrics),
            "baselines": {name: _json_of(metrics) for name, metrics in self.baseline_metrics.items()},
            "labels_permuted": _json_of(self.chance),
            "trained_on_permuted_labels": _json_of(self.retrained),
            "confusion": confusion_matrices(judged, unweighted(judged))[0].astype(int).tolist(),
            "calibration": {name: line.to_json() for name, line in self.calibration.items()},
            "error_rates": {name: _error_rates_json(rate) for name, rate in rates.items()},
            "thresholds_from_validation": self.thresholds,
            "spread_over_models": {
                name: {"mean": _number(mean), "sd": _number(sd)} for name, (mean, sd) in self.member_spread.items()
            },
            "auc_within_sites": _json_of(self.within_site),
            "site_from_embeddings": {name: _json_of(metrics) for name, metrics in self.site_probe.items()},
            "faithfulness": _faithfulness_json(self.faithfulness),
            "cautions": self.cautions,
            "notes": list(self.notes),
        }


def evaluate(
    predictions: Predictions,
    evidence: Evidence | None = None,
    *,
    by: Literal["patient", "slide"] = "patient",
    replicates: int = REPLICATES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Evaluation:
    """Judge predictions, beside what predicts as much without morphology.

    Parameters
    ----------
    predictions
        Of cases that took no part in training.
    evidence
        What is known beside them.
    by
        A patient with several slides is judged once by the mean of their probabilities, or each slide by itself.
    replicates, permutations
        How often the patients are resampled, and the labels permuted.
    seed
        Of everything that is drawn.

    Raises
    ------
    EvaluationError
        All cases have one class, a named covariate is missing, slides of a patient have different labels, or judged
        patients are among the training or validation cases.

    Examples
    --------
    >>> from her2qp.evaluation import Evidence, evaluate, read_predictions, write_report
    >>> found = evaluate(read_predictions("predictions.csv"), Evidence(clinical=["ER", "PR"]))  # doctest: +SKIP
    >>> write_report("evaluation.html", found)  # doctest: +SKIP
    """
    beside = evidence or Evidence()
    beside.must_fit(predictions)
    judged, beside = (predictions.by_patient(), beside.by_patient()) if by == "patient" else (predictions, beside)
    if np.count_nonzero(judged.counts) < 2:
        only = judged.classes[judged.labels[0]]
        raise EvaluationError(f"all {len(judged)} cases are {only}: nothing can be told apart", where=predictions.name)
    baselines, notes = beside.baselines(judged, seed)
    if judged.sites is None:
        notes.append("The sites are not known: whether the model reads the site cannot be said.")
    site_probe, why_not = _probe(predictions, beside.embeddings, replicates, seed)
    return Evaluation(
        predictions=judged,
        metrics=bootstrap(judged, replicates, seed),
        baselines=baselines,
        baseline_metrics={name: bootstrap(baseline, replicates, seed) for name, baseline in baselines.items()},
        chance=permutation_null(judged, permutations, seed),
        thresholds={cut.name: balanced_threshold(cut) for cut in cuts(beside.validation)} if beside.validation else {},
        member_spread=_spread(beside.members),
        within_site={} if judged.sites is None else within_site_auc(judged, replicates, seed),
        site_probe=site_probe,
        retrained=_range_of([summarise(each) for each in beside.permuted]),
        faithfulness=tuple(beside.faithfulness),
        notes=(*notes, *why_not),
    )


def _spread(members: Sequence[Predictions]) -> dict[str, tuple[float, float]]:
    summaries = [summarise(member) for member in members]
    if len(summaries) < 2:
        return {}
    values = {name: [summary[name] for summary in summaries] for name in summaries[0]}
    return {name: (float(np.mean(value)), float(np.std(value, ddof=1))) for name, value in values.items()}


def _range_of(summaries: Sequence[dict[str, float]]) -> Metrics:
    values = {name: np.array([summary[name] for summary in summaries]) for name in summaries[0]} if summaries else {}
    return {name: percentile_interval(float(np.mean(value)), value) for name, value in values.items()}


def _probe(
    cases: Cases, embeddings: Mapping[str, NDArray[np.floating]], replicates: int, seed: int
) -> tuple[dict[str, Metrics], list[str]]:
    """Metrics of telling the site from each embedding and of naming the commonest, or a note why there are none."""
    if not embeddings:
        return {}, []
    try:
        probes = {name: probe_site(cases, vectors, seed) for name, vectors in embeddings.items()}
    except EvaluationError as error:
        return {}, [f"The embeddings were not probed for the site: {error}."]
    found = {name: bootstrap(probe.predictions, replicates, seed) for name, probe in probes.items()}
    majority = next(iter(probes.values())).majority  # the same beside every embedding
    return {**found, "majority": bootstrap(majority, replicates, seed)}, []


def _json_of(metrics: Metrics) -> dict[str, dict[str, float | None]]:
    return {name: interval.to_json() for name, interval in metrics.items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _error_rates_json(rates: ErrorRates) -> dict[str, list[float | None]]:
    return {
        name: [_number(value) for value in values]
        for name, values in {
            "threshold": rates.thresholds,
            "fpr": rates.fpr,
            "fpr_low": rates.fpr_ends[0],
            "fpr_high": rates.fpr_ends[1],
            "fnr": rates.fnr,
            "fnr_low": rates.fnr_ends[0],
            "fnr_high": rates.fnr_ends[1],
        }.items()
    }


def _faithfulness_json(curves: Sequence[Faithfulness]) -> dict[str, Any] | None:
    if not curves:
        return None
    names = ("deletion", "insertion", "random_deletion", "random_insertion")
    return {
        "slides": len(curves),
        "share_of_tiles": SHARES.tolist(),
        **{name: np.mean([getattr(curve, name) for curve in curves], axis=0).tolist() for name in names},
        "gain_over_random": _json_of(mean_gains(curves)),
    }
