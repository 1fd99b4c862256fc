"""Every metric is what scikit-learn, or a loop over the cases, makes of the same predictions."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from evaluation.cases import GRADES, make_predictions
from sklearn import metrics as sk

from her2qp.evaluation.metrics import METRICS, confusion_matrices, equal_mass_bins, summarise, summarise_many
from her2qp.evaluation.predictions import Predictions


def expected_calibration_error(p: Predictions) -> float:
    total = 0.0
    for k in range(15):
        rows = [i for i in range(len(p)) if k / 15 <= max(p.probabilities[i]) < (k + 1) / 15 + (1 if k == 14 else 0)]
        if rows:
            right = np.mean([p.predicted[i] == p.labels[i] for i in rows])
            total += len(rows) / len(p) * abs(right - np.mean([max(p.probabilities[i]) for i in rows]))
    return total


def auc_by_pairs(scores: np.ndarray, positive: np.ndarray) -> float:
    won = [
        1.0 if one > other else 0.5 if one == other else 0.0 for one in scores[positive] for other in scores[~positive]
    ]
    return float(np.mean(won))


def auc_one_against_one(p: Predictions) -> float:
    aucs = []
    for i, j in permutations(range(len(p.classes)), 2):
        rows = np.isin(p.labels, [i, j])
        aucs.append(auc_by_pairs(p.probabilities[rows, i], p.labels[rows] == i))
    return float(np.mean(aucs))


def by_scikit_learn(p: Predictions) -> dict[str, float]:
    y, predicted, probability = p.labels, p.predicted, p.probabilities
    classes = range(len(p.classes))
    one_hot = p.one_hot
    binary = len(p.classes) == 2
    ovr = [sk.roc_auc_score(one_hot[:, k], probability[:, k]) for k in classes]
    ovo = auc_one_against_one(p) if binary else sk.roc_auc_score(y, probability, multi_class="ovo", labels=classes)
    return {
        "accuracy": sk.accuracy_score(y, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(y, predicted),
        "auc_macro_ovr": float(np.mean(ovr)),
        "auc_macro_ovo": ovo,
        "macro_f1": sk.f1_score(y, predicted, average="macro"),
        "micro_f1": sk.f1_score(y, predicted, average="micro"),
        "quadratic_weighted_kappa": sk.cohen_kappa_score(y, predicted, weights="quadratic"),
        "brier": sk.brier_score_loss(y, probability[:, 1] if binary else probability, labels=list(classes)),
        "nll": sk.log_loss(y, probability, labels=list(classes)),
        "ece": expected_calibration_error(p),
    } | {f"auc({name})": auc for name, auc in zip(p.classes, ovr, strict=True)}


@pytest.mark.parametrize("decimals", [1, 12], ids=["ties", "no ties"])
@pytest.mark.parametrize("classes", [GRADES, ("0", "low", "positive"), ("negative", "positive")], ids=len)
def test_metrics_are_those_of_scikit_learn(classes: tuple[str, ...], decimals: int) -> None:
    p = make_predictions(90, classes=classes, decimals=decimals)
    found, expected = summarise(p), by_scikit_learn(p)
    assert set(found) - set(expected) == {"classwise_ece"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def test_weights_count_a_case_as_often_as_if_it_were_there_so_often() -> None:
    p = make_predictions(60, decimals=1)
    weights = np.random.default_rng(5).integers(0, 4, size=(7, len(p))).astype(float)
    many = summarise_many(p, weights)
    for b, row in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(len(p)), row)
        expanded = Predictions(
            labels=p.labels[rows],
            classes=p.classes,
            patients=p.patients[rows],
            slides=np.arange(len(rows)).astype(str),
            probabilities=p.probabilities[rows],
        )
        for name, value in by_scikit_learn(expanded).items():
            assert many[name][b] == pytest.approx(value, abs=1e-12), name


def test_auc_by_counting_pairs() -> None:
    p = make_predictions(50, decimals=1)
    found = summarise(p)
    for k, name in enumerate(p.classes):
        assert found[f"auc({name})"] == pytest.approx(auc_by_pairs(p.probabilities[:, k], p.labels == k))
    assert found["auc_macro_ovo"] == pytest.approx(auc_one_against_one(p))


def test_classwise_calibration_error_by_a_loop() -> None:
    p = make_predictions(200)
    errors = []
    for k in range(4):
        score, truth = p.probabilities[:, k], p.labels == k
        sizes = np.bincount(equal_mass_bins(score, 15))
        assert sizes.sum() == 200
        assert np.ptp(sizes) <= 1
        edges = np.cumsum(sizes)[:-1]
        parts = np.split(np.argsort(score), edges)
        errors.append(sum(len(r) / 200 * abs(truth[r].mean() - score[r].mean()) for r in parts))
    assert summarise(p)["classwise_ece"] == pytest.approx(np.mean(errors))


def test_micro_f1_carries_no_information_beyond_accuracy() -> None:
    found = summarise(make_predictions(80, seed=3))
    assert found["micro_f1"] == pytest.approx(found["accuracy"])
    assert found["macro_f1"] != pytest.approx(found["accuracy"], abs=1e-3)


def test_an_absent_class_leaves_macro_auc_undefined_and_the_others_as_they_are() -> None:
    p = make_predictions(80)
    without = p.take(p.labels != 3)
    found = summarise(without)
    assert np.isnan([found["auc(3+)"], found["auc_macro_ovr"], found["auc_macro_ovo"]]).all()
    assert found["auc(0)"] == pytest.approx(
        sk.roc_auc_score(without.labels == 0, without.probabilities[:, 0]),
    )
    assert found["balanced_accuracy"] == pytest.approx(
        np.mean([(without.predicted == k)[without.labels == k].mean() for k in range(3)])
    )
    assert found["macro_f1"] == pytest.approx(sk.f1_score(without.labels, without.predicted, average="macro"))


def test_perfect_and_useless_predictions() -> None:
    p = make_predictions(80)
    perfect, useless = summarise(p.judged(p.one_hot, "p")), summarise(p.judged(np.full((80, 4), 0.25), "p"))
    for name, metric in METRICS.items():
        assert perfect[name] == pytest.approx(1.0 if metric.higher_is_better else 0.0, abs=1e-9), name
    assert useless["auc_macro_ovr"] == useless["auc_macro_ovo"] == 0.5
    assert useless["nll"] == pytest.approx(np.log(4))
    assert useless["brier"] == pytest.approx(0.75)
    assert useless["quadratic_weighted_kappa"] == pytest.approx(0)


def test_confusion_has_the_truth_in_rows() -> None:
    p = make_predictions(70)
    found = confusion_matrices(p, np.ones((1, 70)))[0]
    assert np.array_equal(found, sk.confusion_matrix(p.labels, p.predicted))
