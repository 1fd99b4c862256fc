"""What all models share: attention pooling against NumPy, tiles by themselves, evidence, dropout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from her2qp.errors import BundleError, ModelError
from her2qp.models import model as model_module
from her2qp.models.bag import Bag
from her2qp.models.model import Model
from her2qp.models.registry import ARCHITECTURES, build_model

MakeModel = Callable[[str], Model]
MakeBag = Callable[..., Bag]

each = pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - {"ensemble"}))


def test_attention_pooling_follows_its_equation(make_model: MakeModel, make_bag: MakeBag) -> None:
    model, bag = make_model("abmil"), make_bag(33)
    w = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    x = (bag.features - w["feature_mean"]) / w["feature_std"]
    h = np.maximum(x @ w["embedding.0.weight"].T + w["embedding.0.bias"], 0)
    content = np.tanh(h @ w["content.0.weight"].T + w["content.0.bias"])
    gate = expit(h @ w["gate.0.weight"].T + w["gate.0.bias"])
    attention = softmax((content * gate) @ w["score.weight"][0] + w["score.bias"][0])
    logits, found = model.judge(bag)
    np.testing.assert_allclose(found, attention, rtol=1e-4)
    np.testing.assert_allclose(logits, w["head.weight"] @ (attention @ h) + w["head.bias"], rtol=1e-4, atol=1e-5)


def test_mean_pooling_is_logistic_regression_on_the_mean_tile(make_model: MakeModel, make_bag: MakeBag) -> None:
    model, bag = make_model("meanpool"), make_bag(33)
    w = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    mean = ((bag.features.astype(np.float64) - w["feature_mean"]) / w["feature_std"]).mean(axis=0)
    explanation = model.explain(bag)
    logits = w["head.weight"] @ mean + w["head.bias"]
    np.testing.assert_allclose(explanation.probabilities, softmax(logits), rtol=1e-4)
    np.testing.assert_allclose(explanation.attention, np.full(33, 1 / 33), rtol=1e-6)
    np.testing.assert_allclose(explanation.evidence.sum(axis=0) + w["head.bias"], logits, rtol=1e-4, atol=1e-5)


@each
def test_bags_that_are_judged_together_are_judged_as_one_by_one(
    architecture: str, make_model: MakeModel, make_bag: MakeBag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "TILES_TOGETHER", 30)
    model, bags = make_model(architecture), [make_bag(n, seed=n) for n in (7, 40, 11, 12, 13)]
    one_by_one = torch.stack([model.judge(bag)[0] for bag in bags])
    np.testing.assert_allclose(model.logits(bags), one_by_one, rtol=1e-4, atol=1e-5)


@each
def test_a_tile_by_itself_is_a_bag_of_one_tile(
    architecture: str, make_model: MakeModel, make_bag: MakeBag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "SINGLETONS_AT_ONCE", 4)
    model, bag = make_model(architecture), make_bag(11)
    together = model.judge_tiles(bag.features)
    one_by_one = torch.stack([model.judge(bag.take(np.array([row])))[0] for row in range(len(bag))])
    np.testing.assert_allclose(together, one_by_one, rtol=1e-4, atol=1e-5)
    assert together.std(dim=0).min() > 1e-3


@each
def test_explanation(architecture: str, make_model: MakeModel, make_bag: MakeBag) -> None:
    model, bag = make_model(architecture), make_bag(33)
    explanation = model.explain(bag)
    assert explanation.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert explanation.attention.sum() == pytest.approx(1, abs=1e-5)
    assert explanation.attention.min() >= 0
    assert explanation.evidence.shape == (33, 4)
    assert np.isfinite(explanation.evidence).all()
    assert (explanation.evidence > 0).any() and (explanation.evidence < 0).any()


def test_evidence_of_a_linear_read_out_adds_up_to_the_logit(make_model: MakeModel, make_bag: MakeBag) -> None:
    model, bag = make_model("abmil"), make_bag(33)
    with torch.no_grad():
        model.score.weight.zero_()  # the mean of the tiles: logits are linear in them
    logits, _ = model.judge(bag)
    np.testing.assert_allclose(
        model.explain(bag).evidence.sum(axis=0) + model.head.bias.detach().numpy(), logits, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - {"ensemble", "meanpool"}))
def test_dropout_is_off_in_judgement_and_back_on_in_training(
    architecture: str, make_model: MakeModel, make_bag: MakeBag
) -> None:
    model, bag = make_model(architecture).train(), make_bag(33)
    assert torch.equal(model.judge(bag)[0], model.judge(bag)[0])
    assert model.training
    batch = model.collate([bag])
    assert not torch.equal(model(batch), model(batch))


def test_a_constant_feature_is_not_blown_up_by_standardising(make_model: MakeModel, make_bag: MakeBag) -> None:
    model, bag = make_model("abmil"), make_bag(33)
    bag.features[:, 3] = 2
    model.standardise([bag])
    assert float(model.feature_std[3]) == 1
    assert torch.isfinite(model.judge(bag)[0]).all()


def test_the_registry_says_what_it_does_not_know() -> None:
    sizes = {"dimension": 4, "classes": 2}
    with pytest.raises(BundleError, match=r"unknown architecture 'resnet'.*kat, abmil"):
        build_model("resnet", sizes)
    with pytest.raises(BundleError, match="hyperparameters of kat: depth"):
        build_model("kat", sizes | {"depth": 1})
    with pytest.raises(BundleError, match="hyperparameters of abmil: colour"):
        build_model("abmil", sizes | {"colour": "red"})
    assert build_model("abmil", sizes | {"width": 5}).config.width == 5


@each
def test_says_when_the_result_is_not_a_number(architecture: str, make_model: MakeModel, make_bag: MakeBag) -> None:
    bag = make_bag(3)
    bag.features[:] = np.float32(3e38)
    with pytest.raises(ModelError, match="bag of 3: the model's result is not a number"):
        make_model(architecture).judge(bag)
