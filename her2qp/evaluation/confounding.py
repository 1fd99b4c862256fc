"""How much of a result may be the site: whether embeddings tell it, and what is left of the AUC within sites."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import EvaluationError
from her2qp.evaluation.auc import weighted_auc
from her2qp.evaluation.baselines import majority_class, out_of_fold
from her2qp.evaluation.intervals import REPLICATES, Interval, percentile_interval, resampled_weights
from her2qp.evaluation.metrics import unweighted
from her2qp.evaluation.predictions import Cases, Predictions
from her2qp.training.folds import PatientTable, stratified_folds

_PROBE_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class SiteProbe:
    """How well a linear model tells the site from slide embeddings, out of fold.

    Parameters
    ----------
    predictions
        The classes are the sites; judge them like any others.
    majority
        The same slides, given the frequencies of the sites.
    left_out
        Slides of sites with too few patients to be told.
    """

    predictions: Predictions
    majority: Predictions
    left_out: int


def probe_site(cases: Cases, embeddings: NDArray[np.floating], seed: int = 0) -> SiteProbe:
    """Try to tell the site from slide embeddings.

    Where that succeeds, a model can use the site in place of morphology; it need not do so.

    Parameters
    ----------
    cases
        With sites.
    embeddings
        One row a slide, shape (n, d).
    seed
        Of the five folds, in which all slides of a patient stay together.

    Raises
    ------
    EvaluationError
        The sites are not known, fewer than two of them have five patients, or the embeddings do not fit the cases.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    vectors = np.asarray(embeddings, np.float64)
    if cases.sites is None or vectors.ndim != 2 or len(vectors) != len(cases) or not np.isfinite(vectors).all():
        raise EvaluationError("to probe for the site, every slide needs a site and an embedding of finite numbers")
    names, site = np.unique(cases.sites, return_inverse=True)
    patients_of_site = np.bincount(site[PatientTable.of(site, cases.patients).first], minlength=len(names))
    enough = patients_of_site >= _PROBE_FOLDS
    if enough.sum() < 2:
        raise EvaluationError(f"fewer than two sites have {_PROBE_FOLDS} patients: there is no site to tell")
    rows = np.flatnonzero(enough[site])
    by_site = cases.take(rows).relabelled((np.cumsum(enough) - 1)[site[rows]], tuple(map(str, names[enough])))
    fold = stratified_folds(by_site.labels, by_site.patients, _PROBE_FOLDS, seed)
    probabilities = np.zeros((len(rows), len(by_site.classes)))
    for number in range(_PROBE_FOLDS):
        inside = fold == number
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(vectors[rows[~inside]], by_site.labels[~inside])
        probabilities[np.ix_(inside, model.classes_)] = model.predict_proba(vectors[rows[inside]])
    majority = out_of_fold(majority_class, by_site, fold, "majority site")
    return SiteProbe(by_site.judged(probabilities, "site from embeddings"), majority, len(cases) - len(rows))


def within_site_auc(predictions: Predictions, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Interval]:
    """AUC of each class against all others among cases of the same site only, with its bootstrap interval.

    Every site that has both kinds of cases gives an AUC; they are averaged with the weights of van Elteren's test,
    which are the inverse variances that the AUCs have where there is nothing to tell. A predictor that knows only the
    site has 0.5 here.

    Parameters
    ----------
    predictions
        With sites.
    replicates, seed
        Of the resampling of patients.

    Raises
    ------
    EvaluationError
        The sites are not known.
    """
    if predictions.sites is None:
        raise EvaluationError("the sites are not known, so there is no AUC within them")
    _, site = np.unique(predictions.sites, return_inverse=True)
    found = {}
    for k, name in enumerate(predictions.classes):
        scores, positive = predictions.probabilities[:, k], predictions.labels == k
        estimate = stratified_auc(scores, positive, site, unweighted(predictions))[0]
        draws = resampled_weights(predictions, replicates, seed)
        resampled = np.concatenate([stratified_auc(scores, positive, site, weights) for weights in draws])
        found[name] = percentile_interval(float(estimate), resampled)
    return found


def stratified_auc(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    strata: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean of the AUCs within strata with the weights of van Elteren's test, shape (b,).

    Parameters
    ----------
    scores, positive, weights
        As in :func:`her2qp.evaluation.auc.weighted_auc`.
    strata
        Number of the stratum of each case, shape (n,). A stratum without both kinds counts nothing.
    """
    total, weight_sum = np.zeros(len(weights)), np.zeros(len(weights))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        inside, is_positive = weights[:, rows], positive[rows]
        positives, negatives = inside @ is_positive, inside @ ~is_positive
        weight = positives * negatives / (positives + negatives + 1)
        total += weight * np.nan_to_num(weighted_auc(scores[rows], is_positive, inside))
        weight_sum += weight
    return np.asarray(np.divide(total, weight_sum, out=np.full(len(weights), np.nan), where=weight_sum > 0))
