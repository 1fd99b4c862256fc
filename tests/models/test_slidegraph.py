"""SlideGraph+ against a second one, written node by node in NumPy; its map, its invariances, its ranking loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from her2qp.models.bag import Bag
from her2qp.models.heads import CumulativeHead, HeadKind
from her2qp.models.ranking import latent_scores, ranking_loss
from her2qp.models.registry import build_model
from her2qp.models.slidegraph import SlideGraph
from her2qp.models.tile_graph import TileGraph
from her2qp.training.fit import Examples, FitSettings, fit

MakeBag = Callable[..., Bag]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture
def make_slidegraph() -> Callable[..., SlideGraph]:
    """Make a SlideGraph+ with weights and norms far from where they start."""

    def make(**options: object) -> SlideGraph:
        torch.manual_seed(3)
        graph = {"feature_decay": 0.05}
        model = build_model("slidegraph", {"dimension": 12, "classes": 4, "graph": graph} | options)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                spread = torch.rand if name.endswith("variance") else torch.randn
                tensor += 0.4 * spread(tensor.shape, generator=generator)
        return model.eval()

    return make


def network(model: SlideGraph, bag: Bag) -> tuple[NDArray, NDArray]:
    """Score of each node for each class, and the logits, of a categorical model."""
    w = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}

    def normed(prefix: str, row: NDArray) -> NDArray:
        scaled = (row - w[f"{prefix}.mean"]) / np.sqrt(w[f"{prefix}.variance"] + 1e-5)
        return np.maximum(scaled * w[f"{prefix}.weight"] + w[f"{prefix}.bias"], 0)

    x = (bag.features - w["feature_mean"]) / w["feature_std"]
    count, edges = bag.graph.nodes, bag.graph.edges.T.tolist()
    means = [x[bag.graph.node_of_tile == node].mean(axis=0) for node in range(count)]
    layers = [[normed("norm", mean @ w["embedding.weight"].T + w["embedding.bias"]) for mean in means]]
    for number in range(len(model.layers)):
        prefix, h = f"layers.{number}", layers[-1]
        weight = np.concatenate([w[f"{prefix}.own.weight"], w[f"{prefix}.step.weight"]], axis=1)
        updated = []
        for node in range(count):
            around = [source for source, target in edges if target == node] or [node]
            pairs = [np.concatenate([h[node], h[other] - h[node]]) for other in around]
            messages = [normed(f"{prefix}.norm", weight @ pair + w[f"{prefix}.own.bias"]) for pair in pairs]
            updated.append(np.max(messages, axis=0))
        layers.append(updated)
    states = np.concatenate([np.stack(layer) for layer in layers], axis=1)
    scores = states @ w["head.weight"].T + w["head.bias"]
    return scores, scores.mean(axis=0)


@pytest.mark.parametrize("tiles", [1, 2, 70])
def test_the_slide_score_is_the_mean_of_the_node_scores(
    tiles: int, make_slidegraph: Callable[..., SlideGraph], make_bag: MakeBag
) -> None:
    model = make_slidegraph()
    bag = model.prepare(make_bag(tiles))
    scores, logits = network(model, bag)
    np.testing.assert_allclose(model.judge(bag)[0], logits, **CLOSE)
    explanation = model.explain(bag)
    np.testing.assert_allclose(explanation.evidence.sum(axis=0), logits, **CLOSE)
    sizes = np.bincount(bag.graph.node_of_tile)
    by_tile = (scores / sizes[:, None] / len(scores))[bag.graph.node_of_tile]
    np.testing.assert_allclose(explanation.evidence, by_tile, **CLOSE)
    # The map shows, up to its scale, what speaks for the class that was taken.
    centred = scores[:, logits.argmax()] - scores.mean(axis=1)
    shown = (centred - centred.min())[bag.graph.node_of_tile]
    expected = shown / shown.sum() if tiles > 1 else np.ones(1)
    np.testing.assert_allclose(explanation.attention, expected, **CLOSE)


def test_nodes_without_neighbours_look_at_themselves(
    make_slidegraph: Callable[..., SlideGraph], make_bag: MakeBag
) -> None:
    model, bag = make_slidegraph(), make_bag(5)
    bag = replace(bag, graph=TileGraph(np.array([0, 0, 1, 2, 3]), np.array([[0, 1], [1, 0]])))
    np.testing.assert_allclose(model.judge(bag)[0], network(model, bag)[1], **CLOSE)


def test_order_of_tiles_and_translation(make_slidegraph: Callable[..., SlideGraph], make_bag: MakeBag) -> None:
    model, bag = make_slidegraph(), make_bag(61)
    order = np.random.default_rng(1).permutation(len(bag))
    logits, attention = model.judge(bag)
    moved = replace(bag, positions_um=bag.positions_um + np.array([123_456.7, -3_210.9]))
    for changed, expected in ((bag.take(order), attention[order]), (moved, attention)):
        changed_logits, changed_attention = model.judge(changed)
        np.testing.assert_allclose(changed_logits, logits, **CLOSE)
        np.testing.assert_allclose(changed_attention, expected, **CLOSE)


@pytest.mark.parametrize("kind", get_args(HeadKind))
def test_evidence_is_what_the_logit_changes_by(
    kind: HeadKind, make_slidegraph: Callable[..., SlideGraph], make_bag: MakeBag
) -> None:
    classes = 2 if kind == "binary" else 4
    model, bag = make_slidegraph(head=kind, classes=classes), make_bag(40)
    attention, evidence = model.explain(bag).attention, model.explain(bag).evidence
    assert attention.sum() == pytest.approx(1, abs=1e-5)
    assert attention.min() == 0
    scores = model.head.scores(model._states(model.embed(model.collate([bag])), model.collate([bag]).graph))
    scores = scores.mean(dim=0, keepdim=True).detach()
    change = model.head.logits(scores * 1.001) - model.head.logits(scores * 0.999)
    np.testing.assert_allclose(evidence.sum(axis=0), change[0].detach() / 0.002, rtol=2e-2, atol=2e-3)


def test_a_single_slide_of_a_single_tile_can_be_trained_on(
    make_slidegraph: Callable[..., SlideGraph], make_bag: MakeBag
) -> None:
    model = make_slidegraph().train()
    batch = model.collate([make_bag(1)])
    model.loss(model(batch), torch.tensor([2]), batch).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_the_ranking_loss_is_a_mean_over_pairs() -> None:
    rng = np.random.default_rng(2)
    scores, labels = rng.normal(size=9), np.array([0, 0, 1, 2, 2, 3, 3, 1, 0])
    logits = torch.tensor(np.stack([np.zeros(9), scores], axis=1))
    hinges = [
        max(0.0, 1 - (scores[i] - scores[j]) * (labels[i] - labels[j]))
        for i in range(9)
        for j in range(9)
        if labels[i] != labels[j]
    ]
    assert float(ranking_loss(logits, torch.tensor(labels))) == pytest.approx(np.mean(hinges))
    assert float(ranking_loss(logits, torch.ones(9, dtype=torch.int64))) == 0


def test_the_latent_score_of_a_cumulative_link_is_its_score() -> None:
    head = CumulativeHead(3, 4).double()
    scores = torch.linspace(-4, 4, 9, dtype=torch.float64)
    found = latent_scores(head.logits(scores[:, None]))
    torch.testing.assert_close(found, scores - head.cuts().mean())


@pytest.mark.parametrize("kind", ["binary", "categorical"])
def test_ranking_alone_learns_the_order(kind: HeadKind, make_bag: MakeBag) -> None:
    labels = [number % 2 for number in range(16)]
    bags = [make_bag(15, seed=number) for number in range(16)]
    for bag, label in zip(bags, labels, strict=True):
        bag.features[:5, 0] += 3 * label
    torch.manual_seed(0)
    model = build_model("slidegraph", {"dimension": 12, "classes": 2, "head": kind, "ranking": 1.0})
    fit(model, Examples(bags, labels), None, FitSettings(epochs=40, learning_rate=1e-2, batch_size=8))
    scores = [float(latent_scores(model.judge(bag)[0][None])) for bag in bags]
    assert roc_auc_score(labels, scores) > 0.95
