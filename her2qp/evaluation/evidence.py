"""What is known beside predictions, and the baselines that it allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import EvaluationError
from her2qp.evaluation.baselines import Baseline, covariates_only, majority_class, out_of_fold, site_only
from her2qp.evaluation.faithfulness import Faithfulness
from her2qp.evaluation.predictions import Cases, Predictions
from her2qp.training.folds import PatientTable, stratified_folds

_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evidence:
    """What is known beside the predictions of a model; all of it may be missing.

    Parameters
    ----------
    training
        The cases that the model learnt from: the baselines learn from the same. Without them they learn from the
        judged cases themselves, out of fold.
    validation
        Predictions of the same model for the validation cases, on which thresholds are chosen.
    members
        Predictions of the single models of which the judged ones are the mean, for their spread.
    clinical
        Covariates that the clinic knows without a slide: receptors, grade, histology.
    tumour_area
        Covariate that holds the area, or the number of tiles, that the model saw.
    fold_of
        Fold of each judged patient, where each fold was judged by a model of the others: the baselines then learn out
        of the same folds. Not with `training`.
    embeddings
        Of each judged slide, shape (n, d), by what they are, to probe for the site.
    permuted
        Predictions of models that were trained on permuted labels, as cases with these labels.
    faithfulness
        Of single slides; see :func:`her2qp.evaluation.faithfulness_curves`.
    """

    training: Cases | None = None
    validation: Predictions | None = None
    members: Sequence[Predictions] = ()
    clinical: Sequence[str] = ()
    tumour_area: str | None = None
    fold_of: Mapping[str, int] | None = None
    embeddings: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    permuted: Sequence[Predictions] = ()
    faithfulness: Sequence[Faithfulness] = ()

    def must_fit(self, judged: Predictions) -> None:
        """Refuse evidence that is about other classes, or that makes the judged cases known beforehand.

        Raises
        ------
        EvaluationError
            The classes differ, or a judged patient is among the training or validation cases.
        """
        known = {"training": self.training, "validation": self.validation}
        for name, cases in [*known.items(), *((member.name, member) for member in self.members)]:
            if cases is not None and cases.classes != judged.classes:
                raise EvaluationError(
                    f"the classes of {name} are {', '.join(cases.classes)}, those judged {', '.join(judged.classes)}"
                )
        for name, cases in known.items():
            shared = set() if cases is None else {*cases.patients} & {*judged.patients}
            if shared:
                raise EvaluationError(
                    f"{len(shared)} of the judged patients are among the {name} cases, {min(shared)} for one",
                    where=judged.name,
                    remedy="Judge a model on patients that it and its thresholds were not made with.",
                )

    def by_patient(self) -> Self:
        """Return the same with one case a patient; embeddings and faithfulness stay those of slides."""
        return replace(
            self,
            training=None if self.training is None else self.training.by_patient(),
            validation=None if self.validation is None else self.validation.by_patient(),
            members=[member.by_patient() for member in self.members],
            permuted=[each.by_patient() for each in self.permuted],
        )

    def baselines(self, cases: Cases, seed: int) -> tuple[dict[str, Predictions], list[str]]:
        """Judge cases by everything that needs no morphology.

        Returns
        -------
        baselines, notes
            Predictions by name of the baseline; what could not be had, and why.
        """
        training = self.training
        found = {"majority class": cases.judged(majority_class(training or cases, cases), "majority class")}
        wanted: dict[str, Baseline] = {}
        if cases.sites is not None and (training is None or training.sites is not None):
            wanted["site only"] = site_only
        if self.clinical:
            wanted["clinical only"] = covariates_only(self.clinical)
        if self.tumour_area is not None:
            wanted["tumour area only"] = covariates_only([self.tumour_area])
        if training is not None:
            found |= {name: cases.judged(learn(training, cases), name) for name, learn in wanted.items()}
            return found, _shared_sites(training, cases)
        fold, notes = self._folds(cases, seed)
        if fold is None:
            return found, notes
        found |= {name: out_of_fold(learn, cases, fold, name) for name, learn in wanted.items()}
        return found, notes if wanted else []

    def _folds(self, cases: Cases, seed: int) -> tuple[NDArray[np.int64] | None, list[str]]:
        """Fold of each case to learn baselines out of, and what to say of it."""
        if self.fold_of is not None:
            fold = np.array([self.fold_of[patient] for patient in cases.patients])
            return fold, ["The baselines learnt out of the same folds as the model."]
        labels = PatientTable.of(cases.labels, cases.patients).labels
        rarest = int(np.unique(labels, return_counts=True)[1].min())
        if rarest < 2:
            return None, ["A class has a single patient: no baseline but the majority class could learn out of fold."]
        fold = stratified_folds(cases.labels, cases.patients, min(_FOLDS, rarest), seed)
        return fold, ["The baselines learnt from the judged cases themselves, out of fold."]


def _shared_sites(training: Cases, judged: Cases) -> list[str]:
    if training.sites is None or judged.sites is None:
        return []
    share = np.isin(judged.sites, training.sites).mean()
    if share == 0:
        return ["No judged case comes from a site that the model learnt from."]
    return [f"{share:.0%} of the judged cases come from sites that the model learnt from: the figures hold for those."]
