"""The protocols that a configuration can name, and the splits that they make of a cohort."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from her2qp.errors import FoldError
from her2qp.evaluation.predictions import Cases
from her2qp.training.folds import PatientTable, given_folds
from her2qp.training.splits import Split, held_out_splits, nested_splits, splits_of_folds, validation_splits

Groups = list[list[Split]]
"""Splits that share their test rows lie together: their models judge these rows by the mean of what they say."""


class _Protocol(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: int = Field(default=5, ge=2, le=100)
    seed: int = Field(default=0, ge=0, lt=2**32)


class CrossValidation(_Protocol):
    """Every patient is judged once, by a model that learnt from other folds.

    Parameters
    ----------
    folds
        Their number. One fold is judged, and of the others one in `validation_folds` parts stops the training.
    validation_folds
        Parts of the other folds.
    site_preserving
        Keep every site in one fold, for training, validation and test alike.
    fold_column
        Column of the cohort with folds that are there already, in place of `folds`.
    seed
        Of the division.
    """

    kind: Literal["crossval"] = "crossval"
    validation_folds: int = Field(default=5, ge=2, le=100)
    site_preserving: bool = False
    fold_column: str | None = None

    @property
    def fewest_patients(self) -> int:
        """How many patients every class must have."""
        return self.validation_folds + 1 if self.fold_column else _fewest(self.folds, self.validation_folds)

    def groups(self, cases: Cases) -> Groups:
        """One group of one split for each fold.

        Raises
        ------
        FoldError
            The patients cannot be divided so.
        """
        sites = _sites(cases) if self.site_preserving else None
        if self.fold_column is not None:
            fold = given_folds(_column(cases, self.fold_column), cases.patients)
            split = splits_of_folds(
                fold, cases.labels, cases.patients, inner=self.validation_folds, seed=self.seed, sites=sites
            )
        else:
            split = nested_splits(
                cases.labels,
                cases.patients,
                outer=self.folds,
                inner=self.validation_folds,
                seed=self.seed,
                sites=sites,
            )
        return [group[:1] for group in split]


class Nested(_Protocol):
    """Every patient is judged once, by the mean of models that took turns with their validation fold.

    Parameters
    ----------
    folds, inner_folds
        Outer folds, each judged once, and the parts of the others, each of which stops one model.
    site_preserving
        Keep every site in one fold, inside and outside.
    seed
        Of the division.
    """

    kind: Literal["nested"] = "nested"
    inner_folds: int = Field(default=5, ge=2, le=100)
    site_preserving: bool = False

    @property
    def fewest_patients(self) -> int:
        """How many patients every class must have."""
        return _fewest(self.folds, self.inner_folds)

    def groups(self, cases: Cases) -> Groups:
        """One group of `inner_folds` splits for each outer fold.

        Raises
        ------
        FoldError
            The patients cannot be divided so.
        """
        sites = _sites(cases) if self.site_preserving else None
        return nested_splits(
            cases.labels, cases.patients, outer=self.folds, inner=self.inner_folds, seed=self.seed, sites=sites
        )


class HeldOut(_Protocol):
    """The protocol of Du et al. 2025: models of five folds on patients that were held out once.

    Parameters
    ----------
    test_share
        Share of the patients of each class that is held out.
    folds
        Of the others; each stops the training of one model.
    seed
        Of both divisions.
    """

    kind: Literal["du2025"] = "du2025"
    test_share: float = Field(default=0.3, gt=0, lt=1)

    @property
    def fewest_patients(self) -> int:
        """How many patients every class must have."""
        return math.ceil(self.folds / (1 - self.test_share))

    def groups(self, cases: Cases) -> Groups:
        """One group of `folds` splits.

        Raises
        ------
        FoldError
            The patients cannot be divided so.
        """
        return [
            held_out_splits(cases.labels, cases.patients, test_share=self.test_share, folds=self.folds, seed=self.seed)
        ]


def training_group(protocol: CrossValidation | Nested | HeldOut, cases: Cases) -> list[Split]:
    """Splits of models that judge nobody: as many as the protocol has folds, each the validation fold of one.

    Raises
    ------
    FoldError
        The patients cannot be divided so.
    """
    keep_sites = not isinstance(protocol, HeldOut) and protocol.site_preserving
    return validation_splits(
        cases.labels,
        cases.patients,
        folds=protocol.folds,
        seed=protocol.seed,
        sites=_sites(cases) if keep_sites else None,
    )


def check_classes(cases: Cases, splits: list[Split]) -> None:
    """Refuse a division in which a model would never see a class.

    Raises
    ------
    FoldError
        Nobody of a class is left to learn from.
    """
    for split in splits:
        counts = np.bincount(cases.labels[split.training], minlength=len(cases.classes))
        if not counts.all():
            missing = cases.classes[int(counts.argmin())]
            raise FoldError(
                f"in one of the splits no case of class {missing} is left to learn from",
                remedy="Ask for other folds, or for a label with fewer classes.",
            )


def check_counts(cases: Cases, fewest: int) -> None:
    """Refuse classes that cannot be divided.

    Raises
    ------
    FoldError
        All slides are of one class, or a class has fewer than `fewest` patients.
    """
    patients = np.bincount(PatientTable.of(cases.labels, cases.patients).labels, minlength=len(cases.classes))
    rarest = int(patients.argmin())
    if np.count_nonzero(patients) < 2:
        raise FoldError(f"all {len(cases)} slides are {cases.classes[int(patients.argmax())]}: nothing can be learnt")
    if patients[rarest] < fewest:
        raise FoldError(
            f"class {cases.classes[rarest]} has {patients[rarest]} patients; these folds need {fewest} of every class",
            remedy="Ask for fewer folds or validation folds, or for a label with fewer classes.",
        )


def learnt_rows(splits: list[Split]) -> NDArray[np.int64]:
    """Rows that some model learnt from or was stopped by."""
    return np.unique(np.concatenate([rows for split in splits for rows in (split.training, split.validation)]))


def _fewest(outer: int, inner: int) -> int:
    """Patients of which, with the largest of the outer folds away, every inner fold still gets one."""
    return next(n for n in range(outer, outer * inner + 1) if n - math.ceil(n / outer) >= inner)


def _sites(cases: Cases) -> NDArray[np.str_]:
    if cases.sites is None:
        raise FoldError("the sites are not known, so they cannot be kept whole", remedy="Give a cohort with SITE.")
    return cases.sites


def _column(cases: Cases, name: str) -> NDArray[np.str_]:
    if name not in cases.covariates:
        known = ", ".join(cases.covariates) or "none"
        raise FoldError(f"the cohort has no column {name!r} of folds; there is {known}")
    values = cases.covariates[name]
    folds = np.array([f"{value:g}" if isinstance(value, float) else value for value in values.tolist()])
    without = np.flatnonzero(np.isin(folds, ("", "nan")))
    if len(without):
        raise FoldError(f"the slide has no fold in column {name!r}", where=cases.slides[without[0]])
    return folds
