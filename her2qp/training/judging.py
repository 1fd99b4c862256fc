"""Judging trained models: their predictions, and beside them everything that must be said with these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import EvaluationError
from her2qp.evaluation import AttentionMap, Evaluation, Evidence, Predictions, evaluate, write_predictions, write_report
from her2qp.evaluation.predictions import Cases
from her2qp.models.bundle import Bundle
from her2qp.models.ensemble import Ensemble
from her2qp.models.model import Model
from her2qp.training.attentioncheck import JudgedSlides, check_attention, draw_attention
from her2qp.training.config import JudgingSettings, TrainingConfig
from her2qp.training.data import TUMOUR_AREA, LabelledBags
from her2qp.training.member import Member
from her2qp.training.monitor import Monitor
from her2qp.training.permuted import train_on_permuted_labels
from her2qp.training.protocols import Groups

FOLD = "fold of her2qp"
"""Covariate of predictions: number of the group of models that judged the slide."""

MEAN_FEATURES = "mean features"

PREDICTIONS = "evaluation-predictions.csv"
"""File of the predictions that an evaluation is about."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What models said of slides, and how good it is.

    Parameters
    ----------
    predictions
        One a slide.
    evaluation
        Of them.
    maps
        Attention of the surest cases.
    """

    predictions: Predictions
    evaluation: Evaluation
    maps: Sequence[AttentionMap]

    def write(self, folder: Path, name: str, notice: str) -> Path:
        """Write report (HTML, JSON) and predictions (CSV) into a folder, and return the page.

        Raises
        ------
        EvaluationError
            They cannot be written.
        """
        page = folder / f"{name}.html"
        write_predictions(self.predictions, folder / f"{name}-predictions.csv")
        write_report(page, self.evaluation, maps=self.maps, notice=notice)
        return page


def judge_groups(
    config: TrainingConfig, data: LabelledBags, groups: Groups, trained: list[list[Member]], monitor: Monitor
) -> Judgement:
    """Judge the models of a cross-validation on their test slides.

    Parameters
    ----------
    config
        How to judge.
    data
        All slides.
    groups, trained
        Splits, and the models that were trained on them, in the same order.
    monitor
        Is told what is done.

    Raises
    ------
    EvaluationError
        The predictions cannot be judged: slides of a patient differ in their label, or a covariate is unknown.
    """
    settings = config.judging
    panels = [Ensemble.of([m.model for m in members], [m.temperature for m in members]) for members in trained]
    judged = _judged_slides(config.name, data, groups, trained, panels)
    monitor.step("Checking attention")
    faithfulness = check_attention(judged, settings.attention_slides, settings.seed)
    monitor.step("Training mean pooling on permuted labels")
    firsts = [splits[0] for splits in groups]
    evidence = Evidence(
        clinical=settings.clinical,
        tumour_area=TUMOUR_AREA,
        embeddings=_embeddings(judged, trained[0][0].model, trained[0][0].name),
        faithfulness=faithfulness,
        permuted=train_on_permuted_labels(data, firsts, settings.retrained_permutations, settings.seed),
    )
    if len(groups) == 1:
        members = trained[0]
        learnt = np.concatenate([firsts[0].training, firsts[0].validation])
        tests = [member.test for member in members if member.test is not None]
        evidence = replace(
            evidence,
            training=data.cases.take(learnt),
            validation=_out_of_fold([member.validation for member in members], "validation"),
            members=tests,
        )
    else:
        fold = judged.predictions.covariates[FOLD].astype(np.int64).tolist()
        evidence = replace(evidence, fold_of=dict(zip(judged.predictions.patients.tolist(), fold, strict=True)))
    monitor.step("Judging")
    return Judgement(judged.predictions, _evaluate(judged.predictions, evidence, settings), draw_attention(judged))


def judge_cohort(
    bundle: Bundle, data: LabelledBags, settings: JudgingSettings, trained_on: Cases | None = None
) -> Judgement:
    """Judge a bundle on slides of patients that it has not seen.

    Parameters
    ----------
    bundle
        The model.
    data
        The slides.
    settings
        How to judge.
    trained_on
        The cases that the model learnt from, for the baselines to learn from too; without them these learn from the
        judged cases themselves, out of fold.

    Raises
    ------
    BundleMismatchError
        The features are others than the model's.
    EvaluationError
        The classes are others than the model's, or patients are among those it learnt from.
    """
    if data.cases.classes != bundle.classes:
        raise EvaluationError(
            f"the classes of the cohort are {', '.join(data.cases.classes)}, those of the model "
            f"{', '.join(bundle.classes)}",
            where=bundle.label,
        )
    bundle.check_features(data.features)
    data = data.prepared_for(bundle.model)
    model: Model = Ensemble.of([bundle.model], [bundle.config.temperature])
    probabilities = model.logits(data.bags).softmax(dim=1).double().numpy()
    predictions = data.cases.judged(probabilities, bundle.label)
    judged = JudgedSlides(predictions, data.bags, [model] * len(data))
    evidence = Evidence(
        training=trained_on,
        clinical=settings.clinical,
        tumour_area=TUMOUR_AREA if trained_on is None or TUMOUR_AREA in trained_on.covariates else None,
        embeddings={} if data.cases.sites is None else {MEAN_FEATURES: data.mean_features},
        faithfulness=check_attention(judged, settings.attention_slides, settings.seed),
    )
    return Judgement(predictions, _evaluate(predictions, evidence, settings), draw_attention(judged))


def _judged_slides(
    name: str, data: LabelledBags, groups: Groups, trained: list[list[Member]], panels: list[Ensemble]
) -> JudgedSlides:
    """What the models of each group say together of its test slides, in the order of the cohort."""
    probabilities = np.zeros((len(data), len(data.cases.classes)))
    fold = np.full(len(data), -1)
    for number, (splits, members) in enumerate(zip(groups, trained, strict=True)):
        said = [member.test.probabilities for member in members if member.test is not None]
        probabilities[splits[0].test], fold[splits[0].test] = np.mean(said, axis=0), number
    rows = np.flatnonzero(fold >= 0)
    cases = data.cases.take(rows)
    if len(groups) > 1:
        cases = replace(cases, covariates={**cases.covariates, FOLD: fold[rows].astype(np.float64)})
    return JudgedSlides(
        cases.judged(probabilities[rows], name), [data.bags[row] for row in rows], [panels[fold[row]] for row in rows]
    )


def _embeddings(judged: JudgedSlides, model: Model, name: str) -> dict[str, NDArray[np.floating]]:
    """Mean features, and what one model reads: models of other folds speak another language."""
    if judged.predictions.sites is None:
        return {}
    means = np.array([bag.features.mean(axis=0, dtype=np.float64) for bag in judged.bags])
    return {MEAN_FEATURES: means, f"what {name} pools": judged.pooled_by(model)}


def _out_of_fold(parts: Sequence[Predictions], name: str) -> Predictions:
    """Predictions of several models for different slides as those of one."""
    first = parts[0]
    return replace(
        first,
        name=name,
        labels=np.concatenate([part.labels for part in parts]),
        patients=np.concatenate([part.patients for part in parts]),
        slides=np.concatenate([part.slides for part in parts]),
        sites=None if first.sites is None else np.concatenate([np.asarray(part.sites) for part in parts]),
        covariates={},
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


def _evaluate(predictions: Predictions, evidence: Evidence, settings: JudgingSettings) -> Evaluation:
    return evaluate(
        predictions,
        evidence,
        by=settings.by,
        replicates=settings.replicates,
        permutations=settings.permutations,
        seed=settings.seed,
    )
