"""What can be predicted without looking at morphology: the class frequencies, the site, what the clinic knows.

A baseline is a function from cases to learn from and cases to judge to probabilities, shape (n, c). The cases to judge
may lack a class, a site or a value that the others have, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import EvaluationError
from her2qp.evaluation.predictions import Cases, Predictions
from her2qp.tabular import Column

Baseline = Callable[[Cases, Cases], NDArray[np.float64]]

PSEUDO_COUNTS = 4.0
"""Imaginary cases of the overall frequencies that every site gets, so that few cases do not make a certainty."""


def majority_class(training: Cases, judged: Cases) -> NDArray[np.float64]:
    """Give every case the class frequencies of the training cases, and so name the commonest class."""
    return np.tile(training.counts / len(training), (len(judged), 1))


def site_only(training: Cases, judged: Cases) -> NDArray[np.float64]:
    """Give every case the class frequencies of its site among the training cases, smoothed.

    Raises
    ------
    EvaluationError
        The sites are not known.
    """
    if training.sites is None or judged.sites is None:
        raise EvaluationError("the site cannot predict anything: it is not known")
    overall = training.counts / len(training)
    of_site = {site: training.one_hot[training.sites == site].sum(axis=0) for site in np.unique(training.sites)}
    counts = np.array([of_site.get(site, np.zeros(len(overall))) for site in judged.sites])
    return np.asarray((counts + PSEUDO_COUNTS * overall) / (counts.sum(axis=1, keepdims=True) + PSEUDO_COUNTS))


def covariates_only(names: Sequence[str]) -> Baseline:
    """Multinomial logistic regression on covariates alone: receptors, grade, tumour area.

    Parameters
    ----------
    names
        Of the covariates. Text is taken as categories, empty text being one of them; a number counts by its rank among
        the training cases, so that neither its unit nor an outlier matters, and a missing one is average and marked.

    Raises
    ------
    EvaluationError
        Raised by the baseline where a covariate is not known.
    """

    def predict(training: Cases, judged: Cases) -> NDArray[np.float64]:
        from sklearn.linear_model import LogisticRegression

        if np.count_nonzero(training.counts) < 2:
            return majority_class(training, judged)
        columns = [_encoded(_covariate(training, name), _covariate(judged, name)) for name in names]
        model = LogisticRegression(max_iter=1000)
        model.fit(np.hstack([known for known, _ in columns]), training.labels)
        probabilities = np.zeros((len(judged), len(training.classes)))
        probabilities[:, model.classes_] = model.predict_proba(np.hstack([asked for _, asked in columns]))
        return probabilities

    return predict


def out_of_fold(baseline: Baseline, cases: Cases, fold: NDArray[np.int64], name: str) -> Predictions:
    """Judge every fold by the baseline learnt on the others.

    A fold rich in a class leaves the others poor in it, so a baseline that knows nothing falls a little below an AUC
    of 0.5 here, and far below where whole sites are held out.

    Parameters
    ----------
    baseline
        To learn and to judge by.
    cases
        With the labels to learn from.
    fold
        Fold of each case, shape (n,); see :mod:`her2qp.training.folds`.
    name
        To give the predictions.
    """
    probabilities = np.empty((len(cases), len(cases.classes)))
    for number in np.unique(fold):
        inside = fold == number
        probabilities[inside] = baseline(cases.take(~inside), cases.take(inside))
    return cases.judged(probabilities, name)


def _covariate(cases: Cases, name: str) -> Column:
    if name not in cases.covariates:
        known = ", ".join(cases.covariates) or "none"
        raise EvaluationError(f"there is no column {name!r} to predict from; there is {known}")
    return cases.covariates[name]


def _encoded(known: Column, asked: Column) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if known.dtype.kind == "U" or asked.dtype.kind == "U":
        categories = np.unique(known.astype(np.str_))
        return known.astype(np.str_)[:, None] == categories, asked.astype(np.str_)[:, None] == categories
    known_numbers, asked_numbers = known.astype(np.float64), asked.astype(np.float64)
    ladder = np.sort(known_numbers[~np.isnan(known_numbers)])
    return _ranked(known_numbers, ladder), _ranked(asked_numbers, ladder)


def _ranked(values: NDArray[np.float64], ladder: NDArray[np.float64]) -> NDArray[np.float64]:
    missing = np.isnan(values)
    middle = (np.searchsorted(ladder, values, "left") + np.searchsorted(ladder, values, "right")) / 2
    rank = np.where(missing, 0.0, middle / max(len(ladder), 1) - 0.5)
    return np.column_stack([rank * 12**0.5, missing])
