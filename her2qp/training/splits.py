"""Which slides are learnt from, which stop the training, and which are only judged: the protocols."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from her2qp.errors import FoldError
from her2qp.training.folds import PatientTable, site_preserving_folds, stratified_folds


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows (slides) of one model.

    Parameters
    ----------
    training, validation, test
        Row indices in ascending order, int64. The validation rows choose the epoch; the test rows choose nothing.
    """

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def held_out_splits(
    labels: ArrayLike, patients: ArrayLike, *, test_share: float = 0.3, folds: int = 5, seed: int = 0
) -> list[Split]:
    """Hold out patients once, and divide the others into folds: the protocol of Du et al. 2025.

    Parameters
    ----------
    labels, patients
        Class index and patient of each slide, shape (n,).
    test_share
        Share of the patients of each class that is held out.
    folds
        Each is the validation fold of one model; all models share the test rows.
    seed
        Of both divisions.

    Raises
    ------
    FoldError
        A class has too few patients.
    """
    from sklearn.model_selection import train_test_split

    table = PatientTable.of(labels, patients)
    try:
        _, held_out = train_test_split(
            np.arange(len(table)), test_size=test_share, stratify=table.labels, random_state=seed
        )
    except ValueError as error:
        raise FoldError(f"{test_share:.0%} of the patients cannot be held out of every class: {error}") from error
    is_test = np.isin(table.row, held_out)
    return _inner_splits(np.asarray(labels), np.asarray(patients), is_test, folds, seed, None)


def nested_splits(
    labels: ArrayLike,
    patients: ArrayLike,
    *,
    outer: int = 5,
    inner: int = 5,
    seed: int = 0,
    sites: ArrayLike | None = None,
) -> list[list[Split]]:
    """Test every patient once, and divide the others of each outer fold into inner folds.

    Parameters
    ----------
    labels, patients
        Class index and patient of each slide, shape (n,).
    outer, inner
        Numbers of folds. The first split of each outer fold alone is a plain cross-validation.
    seed
        Of all divisions.
    sites
        Site of each slide: outer and inner folds then keep every site whole.

    Returns
    -------
    One list of `inner` splits with the same test rows for each outer fold.

    Raises
    ------
    FoldError
        A class has too few patients, or there are too few sites.
    """
    label, patient = np.asarray(labels), np.asarray(patients)
    site = None if sites is None else np.asarray(sites)
    fold = _folds(label, patient, site, outer, seed)
    return splits_of_folds(fold, label, patient, inner=inner, seed=seed, sites=site)


def splits_of_folds(
    fold: ArrayLike,
    labels: ArrayLike,
    patients: ArrayLike,
    *,
    inner: int = 5,
    seed: int = 0,
    sites: ArrayLike | None = None,
) -> list[list[Split]]:
    """Test each fold of a division that is there already, and divide the others into inner folds.

    Parameters
    ----------
    fold
        Fold of each slide, 0 to the number of folds less one, shape (n,); see :mod:`her2qp.training.folds`.
    labels, patients, inner, seed, sites
        As in :func:`nested_splits`.

    Raises
    ------
    FoldError
        A class has too few patients outside a fold, or there are too few sites.
    """
    label, patient, outer = np.asarray(labels), np.asarray(patients), np.asarray(fold)
    site = None if sites is None else np.asarray(sites)
    return [_inner_splits(label, patient, outer == number, inner, seed, site) for number in range(int(outer.max()) + 1)]


def validation_splits(
    labels: ArrayLike, patients: ArrayLike, *, folds: int = 5, seed: int = 0, sites: ArrayLike | None = None
) -> list[Split]:
    """Test nobody; each fold is the validation fold of one model.

    Parameters
    ----------
    labels, patients, folds, seed, sites
        As in :func:`nested_splits`.

    Raises
    ------
    FoldError
        A class has too few patients, or there are too few sites.
    """
    label, patient = np.asarray(labels), np.asarray(patients)
    site = None if sites is None else np.asarray(sites)
    return _inner_splits(label, patient, np.zeros(len(label), bool), folds, seed, site)


def _folds(
    labels: NDArray[np.int64], patients: NDArray[np.str_], sites: NDArray[np.str_] | None, folds: int, seed: int
) -> NDArray[np.int64]:
    if sites is None:
        return stratified_folds(labels, patients, folds, seed)
    return site_preserving_folds(labels, patients, sites, folds, seed)


def _inner_splits(
    labels: NDArray[np.int64],
    patients: NDArray[np.str_],
    is_test: NDArray[np.bool_],
    folds: int,
    seed: int,
    sites: NDArray[np.str_] | None,
) -> list[Split]:
    test, rest = np.flatnonzero(is_test), np.flatnonzero(~is_test)
    fold = _folds(labels[rest], patients[rest], None if sites is None else sites[rest], folds, seed)
    return [Split(rest[fold != number], rest[fold == number], test) for number in range(folds)]
