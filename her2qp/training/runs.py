"""The verbs of training: train models, cross-validate them, judge a bundle on other patients."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from her2qp.errors import CohortError, TrainingError
from her2qp.evaluation import METRICS, Evaluation, Evidence
from her2qp.evaluation.predictions import Cases
from her2qp.models.bundle import Bundle
from her2qp.models.bundle_config import FeatureSpec, Training
from her2qp.models.ensemble import Ensemble
from her2qp.provenance import versions
from her2qp.training.casesfile import read_learnt_cases, write_cases
from her2qp.training.config import CohortSettings, JudgingSettings, TrainingConfig, read_config
from her2qp.training.data import LabelledBags
from her2qp.training.fit import find_device
from her2qp.training.judging import Judgement, judge_cohort, judge_groups
from her2qp.training.member import Assignment, Member, read_member
from her2qp.training.monitor import Monitor
from her2qp.training.protocols import Groups, check_classes, check_counts, learnt_rows, training_group
from her2qp.training.runfolder import CONFIG, RunFolder, is_run, read_record
from her2qp.training.sharedfeatures import share_features
from her2qp.training.splits import Split
from her2qp.training.workers import count_workers, train_members

BUNDLE = "bundle"
"""Name of the bundle in the folder of a run."""

_HEADLINE = ("accuracy", "auc_macro_ovr")


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a run left.

    Parameters
    ----------
    folder
        Its folder.
    bundle
        Of all its models together.
    members
        The models; none where a bundle was judged.
    evaluation
        On slides that took no part in training; None for `train`, which keeps none back.
    report
        HTML page of the evaluation.
    external, external_report
        The same on the external cohort; None without one.
    """

    folder: Path
    bundle: Bundle
    members: tuple[Member, ...] = ()
    evaluation: Evaluation | None = None
    report: Path | None = None
    external: Evaluation | None = None
    external_report: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what the command line prints as JSON."""
        return {
            "folder": str(self.folder),
            "model": self.bundle.label,
            "notice": self.bundle.notice,
            "models": [
                {"name": m.name, "epochs": m.epochs, "best_epoch": m.best + 1, "temperature": m.temperature}
                for m in self.members
            ],
            "evaluation": None if self.evaluation is None else self.evaluation.to_json(),
            "report": None if self.report is None else str(self.report),
            "external": None if self.external is None else self.external.to_json(),
            "external_report": None if self.external_report is None else str(self.external_report),
        }


def train(config: TrainingConfig, monitor: Monitor | None = None) -> Run:
    """Train models on all patients; each fold stops the training of one of them.

    None is judged on these patients; on an external cohort all are judged together, if there is one.

    Parameters
    ----------
    config
        What, on what and how; of the protocol, the number of folds, the seed and whether sites are kept whole count.
    monitor
        Is told what happens.

    Raises
    ------
    CohortError, FoldError
        The cohort, its features or its division cannot be used.
    ModelError, TrainingError
        The model cannot be trained so, or the output folder is another run's.

    Examples
    --------
    >>> from her2qp.training.config import make_config
    >>> run = train(make_config(cohort="cohort.csv", features="features", output="out"))  # doctest: +SKIP
    >>> her2qp.score("project.qpproj", model=run.folder / "bundle")  # doctest: +SKIP
    """
    watched = monitor or Monitor()
    data = _load(config, watched, config.protocol.folds)
    groups = [training_group(config.protocol, data.cases)]
    check_classes(data.cases, groups[0])
    external = None if config.external is None else _load_external(config.external, data.features, data.cases, watched)
    with RunFolder.opened("train", config, data) as folder:
        assigned = _assign(config, data, groups, folder)
        data, workers = _shared(config, data, assigned, folder)
        (members,) = _train_groups(assigned, data, workers, watched)
        bundle = _bundle(config, data, members, folder, "It was not judged on its cohort: all patients trained it.")
        run = Run(config.output, bundle, tuple(members))
        return run if external is None else _judge_external(run, config, external, data.cases, watched)


def crossval(config: TrainingConfig, monitor: Monitor | None = None) -> Run:
    """Train models by a protocol and judge them on the patients that each has not seen.

    A run that was interrupted goes on where it was: finished models are read back.

    Parameters
    ----------
    config
        What, on what and how.
    monitor
        Is told what happens.

    Raises
    ------
    CohortError, FoldError, EvaluationError
        The cohort, its features or its division cannot be used.
    ModelError, TrainingError
        The model cannot be trained so, or the output folder is another run's.

    Examples
    --------
    >>> from her2qp.training.config import make_config
    >>> if __name__ == "__main__":  # for it may start processes
    ...     run = crossval(make_config(cohort="cohort.csv", features="features", output="out"))  # doctest: +SKIP
    >>> print(run.evaluation.metrics["auc_macro_ovr"])  # doctest: +SKIP
    """
    watched = monitor or Monitor()
    data = _load(config, watched, config.protocol.fewest_patients)
    groups = config.protocol.groups(data.cases)
    splits = [split for group in groups for split in group]
    check_classes(data.cases, splits)
    known = data.cases.take(learnt_rows(splits))
    external = None if config.external is None else _load_external(config.external, data.features, known, watched)
    with RunFolder.opened("crossval", config, data) as folder:
        assigned = _assign(config, data, groups, folder)
        data, workers = _shared(config, data, assigned, folder)
        trained = _train_groups(assigned, data, workers, watched)
        judged = judge_groups(config, data, groups, trained, watched)
        members = [member for group in trained for member in group]
        bundle = _bundle(config, data, members, folder, _results(config, judged))
        report = judged.write(folder.path, "evaluation", bundle.notice)
        run = Run(config.output, bundle, tuple(members), judged.evaluation, report)
        return run if external is None else _judge_external(run, config, external, known, watched)


def evaluate_bundle(
    bundle: str | Path,
    cohort: CohortSettings,
    output: str | Path,
    judging: JudgingSettings | None = None,
    monitor: Monitor | None = None,
) -> Run:
    """Judge a trained model on other patients.

    Parameters
    ----------
    bundle
        A bundle, or the folder of a run: then the baselines learn from the patients of the run, and a patient who took
        part in it is refused.
    cohort
        The other patients.
    output
        Folder that gets ``evaluation.html``, ``evaluation.json`` and the predictions.
    judging
        How to judge; None: as the run was judged, or by default.
    monitor
        Is told what happens.

    Raises
    ------
    BundleError, CohortError, EvaluationError
        The bundle or the cohort cannot be used, or the two do not fit together.
    TrainingError
        The output folder cannot be made.
    """
    watched, path, folder = monitor or Monitor(), Path(bundle), Path(output)
    known = read_learnt_cases(path, tuple(read_record(path)["cohort"]["slides_of_class"])) if is_run(path) else None
    model = Bundle.load(path / BUNDLE if is_run(path) else path)
    data = LabelledBags.load(cohort, watched)
    watched.step("Judging")
    judged = judge_cohort(model, data, judging or _judging_of(path), known)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"the folder cannot be made ({error.strerror})", where=folder) from error
    report = judged.write(folder, "evaluation", model.notice)
    return Run(folder, model, (), judged.evaluation, report)


def _judging_of(path: Path) -> JudgingSettings:
    """How a run was judged, but for the clinical columns, which other patients may lack."""
    if not is_run(path):
        return JudgingSettings()
    return read_config(path / CONFIG).judging.model_copy(update={"clinical": ()})


def _load(config: TrainingConfig, monitor: Monitor, fewest_patients: int) -> LabelledBags:
    find_device(config.fit)  # told now, not after the loading
    monitor.step("Loading the features")
    data = LabelledBags.load(config, monitor)
    check_counts(data.cases, fewest_patients)
    if config.judging.by == "patient":
        data.cases.by_patient()  # slides of a patient that differ in their label are refused now, not after training
    unknown = set(config.judging.clinical) - data.cases.covariates.keys()
    if unknown:
        raise TrainingError(
            f"there is no column {min(unknown)!r} to predict from; there is {', '.join(data.cases.covariates)}",
            where=config.cohort,
        )
    monitor.step("Preparing the slides")
    with torch.device("meta"):  # without weights: what models need of a slide depends on the hyperparameters alone
        model = config.model.build(data.features.dimension, len(data.cases.classes))
    return data.prepared_for(model)


def _load_external(settings: CohortSettings, features: FeatureSpec, known: Cases, monitor: Monitor) -> LabelledBags:
    """Load other patients before the training, so that it is told now if they cannot be judged after it.

    Their features stay in their files: they are used a few times only.
    """
    monitor.step("Loading the external cohort")
    data = LabelledBags.load(settings.model_copy(update={"memory_gb": 0.0}), monitor)
    differences = features.differences(data.features)
    if differences:
        raise CohortError(
            f"the features of the external cohort are others (cohort, external: {'; '.join(differences)})",
            where=settings.cohort,
            remedy="Extract both with the same extractor and settings.",
        )
    nothing_said = np.full((len(data), len(data.cases.classes)), 1 / len(data.cases.classes))
    Evidence(training=known).must_fit(data.cases.judged(nothing_said, "external cohort"))
    return data


def _judge_external(run: Run, config: TrainingConfig, external: LabelledBags, known: Cases, monitor: Monitor) -> Run:
    monitor.step("Judging the models together on the external cohort")
    clinical = tuple(name for name in config.judging.clinical if name in external.cases.covariates)
    judging = config.judging.model_copy(update={"clinical": clinical})
    judged = judge_cohort(run.bundle, external, judging, known)
    page = judged.write(run.folder, "external", run.bundle.notice)
    return replace(run, external=judged.evaluation, external_report=page)


def _assign(config: TrainingConfig, data: LabelledBags, groups: Groups, folder: RunFolder) -> list[list[Assignment]]:
    """The models to train, in groups as their splits are; the table of what each learns from is written."""
    write_cases(folder.path, data.cases, [split for group in groups for split in group])
    numbers = itertools.count()
    return [[_assignment(next(numbers), split, config, folder) for split in group] for group in groups]


def _assignment(number: int, split: Split, config: TrainingConfig, folder: RunFolder) -> Assignment:
    settings = config.fit.model_copy(update={"seed": config.fit.seed + number})
    return Assignment(f"model {number + 1}", split, config.model, settings, folder.model_folder(number + 1))


def _shared(
    config: TrainingConfig, data: LabelledBags, assigned: list[list[Assignment]], folder: RunFolder
) -> tuple[LabelledBags, int]:
    """The data where so many processes as are good for the training can read them, and the number of these."""
    workers = count_workers(config.workers, [each for group in assigned for each in group], data)
    if workers > 1:
        data = replace(data, bags=share_features(data.bags, folder.scratch))
    return data, workers


def _train_groups(
    assigned: list[list[Assignment]], data: LabelledBags, workers: int, monitor: Monitor
) -> list[list[Member]]:
    """Train all models that are not finished, and read them back."""
    train_members([each for group in assigned for each in group], data, workers, monitor)
    return [[read_member(each, data) for each in group] for group in assigned]


def _bundle(
    config: TrainingConfig, data: LabelledBags, members: list[Member], folder: RunFolder, results: str
) -> Bundle:
    """Put all models into one bundle, and write it into the folder of the run."""
    cases, invented = data.cases, " (artificial slides or invented labels)" if config.artificial else ""
    said = config.data or f"{len(cases)} slides of {len(set(cases.patients.tolist()))} patients, {data.source}"
    counts = ", ".join(f"{name} {count}" for name, count in zip(cases.classes, cases.counts, strict=True))
    training = Training(
        data=f"{said}{invented}; slides by class: {counts}",
        artificial=config.artificial,
        seeds=tuple(config.fit.seed + number for number in range(len(members))),
        versions=versions(),
        date=folder.started,
    )
    ensemble = Ensemble.of([member.model for member in members], [member.temperature for member in members])
    bundle = Bundle.create(ensemble, data.features, training, name=config.name, classes=cases.classes, results=results)
    bundle.save(folder.path / BUNDLE)
    return bundle


def _results(config: TrainingConfig, judged: Judgement) -> str:
    """What the card says of the performance: the figures with their baselines, and what they do not show."""
    found = judged.evaluation
    rows = {found.predictions.name: found.metrics, **found.baseline_metrics, "labels permuted": found.chance}
    lines = [f"| predictor | {' | '.join(METRICS[name].title for name in _HEADLINE)} |", "|---" * 3 + "|"]
    lines += [f"| {name} | {' | '.join(str(row[metric]) for metric in _HEADLINE)} |" for name, row in rows.items()]
    cautions = "".join(f"\n- {caution}" for caution in found.cautions)
    kind = {"crossval": "cross-validation", "nested": "nested cross-validation", "du2025": "held-out patients"}
    return (
        f"By {kind[config.protocol.kind]}, {len(found.predictions)} cases, 95 % intervals. Each case was judged by "
        "models that had not seen its patient, not by all models of this bundle together.\n\n"
        + "\n".join(lines)
        + (f"\n\nWhat these figures do not show:\n{cautions}" if cautions else "")
    )
