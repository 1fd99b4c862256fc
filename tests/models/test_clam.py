"""CLAM: the loss of single tiles against a plain loop over the published definition, and what it does to training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score
from torch.nn.functional import cross_entropy

from her2qp.models.bag import Bag
from her2qp.models.bundle import Bundle
from her2qp.models.clam import CLAM, CLAMConfig
from her2qp.models.model import Model
from her2qp.models.registry import build_model
from her2qp.training.fit import Examples, FitSettings, fit

MakeBag = Callable[..., Bag]
SIZES = (61, 1, 16, 5, 2, 3)


def make_clam(**options: object) -> CLAM:
    torch.manual_seed(4)
    return CLAM(CLAMConfig(dimension=12, classes=4, **({"width": 10, "gate_width": 7} | options))).eval()


def labelled(make_bag: MakeBag) -> tuple[list[Bag], torch.Tensor]:
    return [make_bag(n, seed=n) for n in SIZES], torch.arange(len(SIZES)) % 4


def plain_loss(outputs: np.ndarray, target: int, kind: str) -> float:
    """Of one tile by the two outputs of a classifier: cross-entropy, or the smooth hinge of Berrada et al. 2018."""
    margins = np.where(np.arange(2) == target, 0.0, 1.0 if kind == "svm" else 0.0)
    return float(logsumexp(outputs + margins) - outputs[target])


def plain_instance_loss(model: CLAM, bag: Bag, label: int) -> float:
    """A loop over classes and tiles, as the published code has it."""
    config, attention = model.config, model.judge(bag)[1].numpy()
    tiles = model.embed(model.collate([bag])).detach().numpy().astype(np.float64)
    weight, bias = (p.detach().numpy().astype(np.float64) for p in (model.instances.weight, model.instances.bias))
    k = min(config.k_sample, len(bag) // 2)
    highest, lowest = np.argsort(-attention)[:k], np.argsort(attention)[:k]
    total = 0.0
    for number in range(config.classes):
        if number == label:
            targets = [(tile, 1) for tile in highest] + [(tile, 0) for tile in lowest]
        else:
            targets = [(tile, 0) for tile in highest] if config.subtyping else []
        losses = [
            plain_loss(np.array([0.0, weight[number] @ tiles[tile] + bias[number]]), target, config.inst_loss)
            for tile, target in targets
        ]
        total += float(np.mean(losses)) if losses else 0.0
    return total / config.classes if config.subtyping else total


@pytest.mark.parametrize("subtyping", [False, True])
@pytest.mark.parametrize("inst_loss", ["svm", "ce"])
def test_the_loss_of_tiles_is_that_of_a_plain_loop(inst_loss: str, subtyping: bool, make_bag: MakeBag) -> None:
    model = make_clam(inst_loss=inst_loss, subtyping=subtyping, bag_weight=0.25)
    bags, labels = labelled(make_bag)
    expected = np.mean([plain_instance_loss(model, bag, int(y)) for bag, y in zip(bags, labels, strict=True)])
    batch = model.collate(bags)
    tiles = model.embed(batch)
    logits, attention = model.classify_with_attention(tiles, batch)
    assert model.instance_loss(tiles, attention, labels, batch).item() == pytest.approx(expected, rel=1e-5)
    whole = 0.25 * cross_entropy(logits, labels).item() + 0.75 * expected
    assert model.training_loss(batch, labels).item() == pytest.approx(whole, rel=1e-5)


def test_it_depends_on_no_order_of_tiles_and_on_no_other_bag(make_bag: MakeBag) -> None:
    model = make_clam(subtyping=True)
    bags, labels = labelled(make_bag)
    alone = [model.training_loss(model.collate([bag]), labels[k : k + 1]).item() for k, bag in enumerate(bags)]
    rng = np.random.default_rng(0)
    shuffled = [bag.take(rng.permutation(len(bag))) for bag in bags]
    assert model.training_loss(model.collate(shuffled), labels).item() == pytest.approx(np.mean(alone), rel=1e-5)


def test_a_slide_is_read_as_by_attention_pooling(make_bag: MakeBag) -> None:
    model, bag = make_clam(), make_bag(33)
    plain = build_model("abmil", {"dimension": 12, "classes": 4, "width": 10, "gate_width": 7})
    plain.load_state_dict({name: t for name, t in model.state_dict().items() if not name.startswith("instances")})
    for one, other in zip(model.judge(bag), plain.judge(bag), strict=True):
        assert torch.equal(one, other)


def test_tiles_teach_the_embedding_but_not_the_attention_that_chose_them(make_bag: MakeBag) -> None:
    model = make_clam(bag_weight=0.0)
    bags, labels = labelled(make_bag)
    model.training_loss(model.collate(bags), labels).backward()
    assert model.embedding[0].weight.grad.abs().max() > 0 and model.instances.weight.grad.abs().max() > 0
    assert model.score.weight.grad.abs().max() == 0


def test_slides_of_one_tile_can_be_learnt_from(make_bag: MakeBag) -> None:
    model = make_clam()
    batch, labels = model.collate([make_bag(1, seed=n) for n in range(4)]), torch.arange(4)
    loss = model.training_loss(batch, labels)
    loss.backward()
    assert loss.item() == pytest.approx(0.7 * cross_entropy(model(batch), labels).item(), rel=1e-5)
    assert model.head.weight.grad.abs().max() > 0


def planted_slides(count: int, seed: int) -> Examples:
    """Slides of four classes; a fifth of the tiles of each moves along a feature of its class."""
    rng = np.random.default_rng(seed)
    bags, labels = [], [number % 4 for number in range(count)]
    for label in labels:
        features = rng.normal(size=(40, 12)).astype(np.float32)
        features[:8, label] += 4
        bags.append(Bag(features, rng.uniform(0, 1e4, (40, 2)), 128.0))
    return Examples(bags, labels)


@pytest.mark.parametrize("subtyping", [False, True])
def test_it_finds_the_planted_tiles_by_attention_and_by_its_classifiers(subtyping: bool) -> None:
    model = make_clam(width=32, gate_width=16, subtyping=subtyping)
    fit(model, planted_slides(48, seed=0), None, FitSettings(epochs=12, learning_rate=1e-2, batch_size=8))
    unseen, planted = planted_slides(40, seed=1), np.arange(40) < 8
    hits, by_attention, by_classifier = [], [], []
    for bag, label in zip(unseen.bags, unseen.labels, strict=True):
        logits, attention = model.judge(bag)
        said = model.instances(model.embed(model.collate([bag]))).detach().numpy()
        hits.append(int(logits.argmax()) == label)
        by_attention.append(roc_auc_score(planted, attention))
        by_classifier.append(roc_auc_score(planted, said[:, label]))
    assert np.mean(hits) > 0.9  # the largest class is a quarter
    assert np.mean(by_attention) > 0.9 and np.mean(by_classifier) > 0.9


def test_it_travels_in_a_bundle(make_bundle: Callable[..., Bundle], make_bag: MakeBag, tmp_path: Path) -> None:
    saved, bag = make_bundle("clam"), make_bag(30)
    saved.save(tmp_path / "clam")
    loaded: Model = Bundle.load(tmp_path / "clam").model
    assert isinstance(loaded, CLAM) and loaded.config == saved.model.config
    for name, tensor in saved.model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    np.testing.assert_array_equal(loaded.explain(bag).evidence, saved.model.explain(bag).evidence)
