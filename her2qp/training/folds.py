"""Divide patients into folds: at random with equal classes, or so that every site stays in one fold.

A fold assignment is an array with the number of the fold of each row (slide). All slides of a patient are in one fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2qp.errors import FoldError

_STARTS = 20


@dataclass(frozen=True, slots=True, eq=False)
class PatientTable:
    """Patients in order of first appearance, each with one class.

    Parameters
    ----------
    labels
        Class of each patient, shape (p,), int64: the highest one among the patient's slides.
    row
        Index of the patient of each slide, shape (n,), int64.
    first
        Index of the first slide of each patient, shape (p,), int64.
    """

    labels: NDArray[np.int64]
    row: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, labels: ArrayLike, patients: ArrayLike) -> PatientTable:
        """Group slides by patient.

        Raises
        ------
        FoldError
            There is no slide, or there are not as many labels as patients.
        """
        slide_labels, names = np.asarray(labels, np.int64), np.asarray(patients)
        if slide_labels.shape != names.shape or slide_labels.ndim != 1 or not len(slide_labels):
            raise FoldError(f"labels of shape {slide_labels.shape} for patients of shape {names.shape}")
        _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
        order = np.argsort(first)
        row = np.argsort(order)[inverse]
        highest = np.full(len(first), -1, np.int64)
        np.maximum.at(highest, row, slide_labels)
        return cls(highest, row, first[order])

    def __len__(self) -> int:
        return len(self.labels)


def stratified_folds(labels: ArrayLike, patients: ArrayLike, folds: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """Divide patients at random, every class evenly.

    Parameters
    ----------
    labels
        Class index of each slide, shape (n,).
    patients
        Patient of each slide, shape (n,).
    folds
        At least 2.
    seed
        Of the order in which patients are dealt.

    Returns
    -------
    ndarray
        Fold of each slide, 0 to `folds` - 1, shape (n,), int64.

    Raises
    ------
    FoldError
        A class has fewer patients than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold

    table = PatientTable.of(labels, patients)
    classes, counts = np.unique(table.labels, return_counts=True)
    if folds < 2 or counts.min() < folds:
        raise FoldError(
            f"{folds} folds cannot be made: class {classes[counts.argmin()]} has {counts.min()} patients",
            remedy="Ask for at least two folds, and for no more than the rarest class has patients.",
        )
    fold = np.empty(len(table), np.int64)
    dealer = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(dealer.split(table.labels, table.labels)):
        fold[test] = number
    return fold[table.row]


def site_preserving_folds(
    labels: ArrayLike, patients: ArrayLike, sites: ArrayLike, folds: int = 5, seed: int = 0
) -> NDArray[np.int64]:
    """Divide patients so that every site lies in one fold and the classes are as even as that allows.

    A site leaves traces in its slides, and sites differ in how they score HER2; a model tested on sites it was trained
    on may have learnt nothing but the site. The sum over folds and classes of the squared difference between a fold's
    share of the class and an even share is minimised (Howard et al. 2021, there in patients instead of shares) by
    exchanging sites from several random starts.

    Parameters
    ----------
    labels, patients, folds
        As in :func:`stratified_folds`.
    sites
        Site of each slide, shape (n,).
    seed
        Of the starts.

    Returns
    -------
    ndarray
        Fold of each slide, shape (n,), int64.

    Raises
    ------
    FoldError
        There are fewer sites than folds, or a patient is of two sites.
    """
    table = PatientTable.of(labels, patients)
    names, site_of_slide = np.unique(np.asarray(sites), return_inverse=True)
    site = site_of_slide[table.first]
    strayed = np.flatnonzero(site_of_slide != site[table.row])
    if len(strayed):
        raise FoldError("the patient's slides are of different sites", where=np.asarray(patients)[strayed[0]])
    if not 2 <= folds <= len(names):
        raise FoldError(
            f"{folds} folds cannot be made of whole sites: there are {len(names)}",
            remedy="Ask for at least two folds, and for no more than there are sites.",
        )
    counts = np.zeros((len(names), table.labels.max() + 1))
    np.add.at(counts, (site, table.labels), 1)
    counts = counts[:, counts.any(axis=0)]
    shares = counts / counts.sum(axis=0) * folds
    rng = np.random.default_rng(seed)
    found = [_exchange(shares, rng.permutation(len(names)) % folds, folds) for _ in range(_STARTS)]
    best = min(found, key=lambda fold: _unevenness(shares, fold, folds))
    return best[site][table.row]


def imbalance(labels: ArrayLike, patients: ArrayLike, fold: ArrayLike) -> float:
    """Say how unevenly folds share the classes: 0 if every fold has the same share of every class.

    Parameters
    ----------
    labels, patients
        As in :func:`stratified_folds`.
    fold
        Fold of each slide, shape (n,).

    Returns
    -------
    float
        Sum over folds and classes of the squared difference between the fold's patients of the class and an even
        part of them, divided by that part.
    """
    table = PatientTable.of(labels, patients)
    numbers, fold_of_slide = np.unique(np.asarray(fold), return_inverse=True)
    classes, label = np.unique(table.labels, return_inverse=True)
    one_hot = np.eye(len(classes))[label]
    return _unevenness(one_hot / one_hot.sum(axis=0) * len(numbers), fold_of_slide[table.first], len(numbers))


def given_folds(values: Sequence[str] | ArrayLike, patients: ArrayLike) -> NDArray[np.int64]:
    """Number the folds that a table gives.

    Parameters
    ----------
    values
        Fold of each slide under any name, shape (n,).
    patients
        Patient of each slide, shape (n,).

    Raises
    ------
    FoldError
        A patient is in two folds, or there is one fold only.
    """
    names, fold = np.unique(np.asarray(values), return_inverse=True)
    table = PatientTable.of(np.zeros(len(fold)), patients)
    fold_of_first = fold[table.first][table.row]
    strayed = np.flatnonzero(fold != fold_of_first)
    if len(strayed):
        slide = strayed[0]
        raise FoldError(
            f"the patient is in two folds, {names[fold_of_first[slide]]} and {names[fold[slide]]}",
            where=np.asarray(patients)[slide],
            remedy="Give all slides of a patient the same fold.",
        )
    if len(names) < 2:
        raise FoldError(f"all slides are in one fold, {names[0]}")
    return fold.astype(np.int64)


def _unevenness(shares: NDArray[np.float64], fold: NDArray[np.int64], folds: int) -> float:
    return float(((np.eye(folds)[fold].T @ shares - 1) ** 2).sum())


def _exchange(shares: NDArray[np.float64], fold: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """Exchange the two sites that help most until none helps.

    One empty site in each fold makes a move an exchange too. A fold never loses its last site: that cannot help.
    """
    padded = np.vstack([shares, np.zeros((folds, shares.shape[1]))])
    apart = ((padded[:, None] - padded[None]) ** 2).sum(axis=2)
    while True:
        fold = np.concatenate([fold[: len(shares)], np.arange(folds)])
        excess = np.eye(folds)[fold].T @ padded - 1
        pull = (padded @ excess.T)[:, fold]  # of row's site towards column's fold
        here = np.diag(pull)
        change = apart + pull + pull.T - here[:, None] - here[None]
        one, other = np.unravel_index(change.argmin(), change.shape)
        if change[one, other] > -1e-9:
            return fold[: len(shares)]
        fold[[one, other]] = fold[[other, one]]
