"""Fitting finds a signal that was put there, does the same twice, and keeps the best weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from training.examples import make_examples, make_model

from her2qp.errors import ModelError, TrainingError
from her2qp.models.abmil import ABMIL, ABMILConfig
from her2qp.models.bag import Bag, BagBatch
from her2qp.models.model import Model
from her2qp.training.fit import Examples, FitSettings, fit, mean_loss


def accuracy(model: Model, examples: Examples) -> float:
    hits = [
        int(model.judge(bag)[0].argmax()) == label for bag, label in zip(examples.bags, examples.labels, strict=True)
    ]
    return float(np.mean(hits))


@pytest.mark.parametrize("kind", ["kat", "abmil", "clam"])
def test_learns_a_planted_signal(kind: str) -> None:
    model = make_model(kind)
    settings = FitSettings(epochs=40, learning_rate=5e-3, batch_size=8, patience=40)
    fit(model, make_examples(48, seed=0), make_examples(16, seed=1), settings)
    unseen = make_examples(40, seed=2)
    assert accuracy(model, unseen) >= 0.9
    shuffled = Examples(unseen.bags, [1 - label for label in unseen.labels])
    assert mean_loss(model, unseen) < 0.4 < mean_loss(model, shuffled)


@pytest.mark.parametrize("kind", ["abmil", "clam"])
def test_attention_pooling_looks_at_the_planted_tiles(kind: str) -> None:
    model = make_model(kind)
    fit(model, make_examples(48, seed=0), None, FitSettings(epochs=40, learning_rate=5e-3, batch_size=8))
    bag = make_examples(2, seed=5).bags[1]
    planted = (len(bag) + 3) // 4
    attention = model.judge(bag)[1]
    assert attention[:planted].mean() > 2 * attention[planted:].mean()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    states = []
    for seed in (3, 3, 4):
        model = make_model("kat")
        torch.manual_seed(seed * 7)  # the caller's random state plays no part, and is left alone
        before = torch.random.get_rng_state()
        fit(model, make_examples(12, seed=0), None, FitSettings(epochs=2, batch_size=5, seed=seed))
        assert torch.equal(torch.random.get_rng_state(), before)
        states.append(torch.cat([tensor.flatten() for tensor in model.state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_stops_early_and_keeps_the_best_weights() -> None:
    training, validation = make_examples(12, seed=0), make_examples(12, seed=1)
    wrong = Examples(validation.bags, [1 - label for label in validation.labels])  # learning can only make it worse
    model = make_model("abmil")
    result = fit(model, training, wrong, FitSettings(epochs=100, learning_rate=1e-2, batch_size=4, patience=5))
    losses = [epoch.validation_loss for epoch in result.epochs]
    assert len(losses) == result.best + 6 < 100
    assert losses[result.best] == min(losses)
    assert mean_loss(model, wrong) == pytest.approx(losses[result.best], abs=1e-6)
    assert not model.training


def test_features_are_standardised_by_the_training_bags_only() -> None:
    training = make_examples(6, seed=0)
    model = make_model("abmil")
    fit(model, training, make_examples(4, seed=9), FitSettings(epochs=1))
    tiles = np.concatenate([bag.features for bag in training.bags])
    np.testing.assert_allclose(model.feature_mean, tiles.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.feature_std, tiles.std(axis=0), rtol=1e-5)


def test_balanced_drawing_sees_both_classes_equally_often() -> None:
    rare = make_examples(60, seed=0)
    keep = [i for i, label in enumerate(rare.labels) if label == 0 or i < 8]  # 30 bags of class 0, 4 of class 1
    rare = Examples([rare.bags[i] for i in keep], [rare.labels[i] for i in keep])
    mean_of_class_1 = {}
    for balanced in (True, False):
        model = make_model("abmil")
        # Features that tell nothing: what is left to learn is how often a class is drawn.
        blind = Examples([Bag(bag.features * 0, bag.positions_um, 128) for bag in rare.bags], rare.labels)
        fit(model, blind, None, FitSettings(epochs=80, learning_rate=1e-2, batch_size=34, balanced=balanced))
        mean_of_class_1[balanced] = float(model.judge(blind.bags[0])[0].softmax(dim=0)[1])
    assert mean_of_class_1[True] == pytest.approx(0.5, abs=0.1)
    assert mean_of_class_1[False] == pytest.approx(4 / 34, abs=0.05)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 0, 0], "same label"),
        ([0, 1, 2], "bag 2: label 2 is none"),
        ([0, 1], "3 bags have 2 labels"),
        ([], "labels"),
    ],
)
def test_refuses_labels_that_cannot_be_learned(labels: list[int], says: str) -> None:
    bags = make_examples(3, seed=0).bags
    with pytest.raises(ModelError, match=says):
        fit(make_model("abmil"), Examples(bags, labels), None, FitSettings(epochs=1))


def test_says_when_training_diverges() -> None:
    with pytest.raises(ModelError, match="finite"):
        fit(make_model("abmil"), make_examples(6, seed=0), None, FitSettings(epochs=50, learning_rate=1e37))


def test_dropped_tiles_are_others_each_time_and_one_always_stays() -> None:
    seen: list[set[float]] = []

    class Watched(ABMIL):
        def collate(self, bags: Sequence[Bag]) -> BagBatch:
            if self.training:
                seen.extend({float(value) for value in bag.features[:, 0]} for bag in bags)
            return super().collate(bags)

    rng = np.random.default_rng(0)
    bags = [Bag(rng.normal(size=(n, 2)).astype(np.float32), np.zeros((n, 2)), 128) for n in (40, 1)]
    model = Watched(ABMILConfig(dimension=2, classes=2, width=4, gate_width=2))
    settings = FitSettings(epochs=30, drop_tiles=0.5, balanced=False)
    fit(model, Examples(bags, [0, 1]), Examples(bags, [0, 1]), settings)
    sizes = [len(tiles) for tiles in seen if len(tiles) > 1]
    assert len(sizes) == 30 and 20 <= min(sizes) < 25 and 35 < max(sizes) <= 40
    assert [len(tiles) for tiles in seen].count(1) == 30
    assert set.union(*seen) == {float(value) for bag in bags for value in bag.features[:, 0]}


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_says_when_a_device_is_not_there() -> None:
    for settings, says in ((FitSettings(device="cuda"), "no device"), (FitSettings(mixed_precision=True), "'cuda'")):
        with pytest.raises(TrainingError, match=says):
            fit(make_model("abmil"), make_examples(4, seed=0), None, settings)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="has no GPU")
@pytest.mark.parametrize("mixed", [False, True])
def test_learns_on_a_gpu(mixed: bool) -> None:
    model = make_model("kat")
    settings = FitSettings(
        epochs=40, learning_rate=5e-3, batch_size=8, patience=40, device="cuda", mixed_precision=mixed
    )
    fit(model, make_examples(48, seed=0), make_examples(16, seed=1), settings)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}
    assert accuracy(model, make_examples(40, seed=2)) >= 0.9
