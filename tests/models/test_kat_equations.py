"""KAT and its read-outs against a second KAT, written from the equations: one bag, one head at a time, float64 NumPy.

The second shares no code with the package; of the model it takes only the numbers in its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf, softmax

from her2qp.models import neighbourhoods, steps
from her2qp.models.bag import Bag
from her2qp.models.kat import KAT, KATConfig

Array = NDArray[np.float64]


def layer_norm(x: Array, scale: Array, shift: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * scale + shift


def gelu(x: Array) -> Array:
    return x / 2 * (1 + erf(x / np.sqrt(2)))


@dataclass
class DenseKAT:
    """Runs one bag; afterwards `gathers[l]` (heads, k, n) and `exits[l]` (heads, k) hold its attention."""

    weights: dict[str, Array]
    heads: int
    depth: int
    area_um2: float
    residual: str
    mask_mode: str
    gathers: list[Array] = field(default_factory=list)
    exits: list[Array] = field(default_factory=list)

    def __call__(self, features: Array, positions: Array, anchors: Array) -> Array:
        w = self.weights
        features = (features - w["feature_mean"]) / w["feature_std"]
        tiles = features @ w["embedding.0.weight"].T + w["embedding.0.bias"]
        kernels = np.repeat(w["kernel_token"][None], len(anchors), axis=0)
        token = w["class_token"][None]
        squared = ((anchors[:, None] - positions[None]) ** 2).sum(-1)
        self.gathers, self.exits = [], []
        for level in range(self.depth):
            exponent = -squared / (2 * self.area_um2 * 2**level)
            tiles, kernels, token = self.block(level, tiles, kernels, token, exponent)
        return (layer_norm(token, w["head.0.weight"], w["head.0.bias"]) @ w["head.1.weight"].T + w["head.1.bias"])[0]

    def block(self, level: int, tiles: Array, kernels: Array, token: Array, exponent: Array) -> list[Array]:
        def weight(name: str) -> Array:
            return self.weights[f"blocks.{level}.{name}"]

        normed = [layer_norm(x, weight("norm.weight"), weight("norm.bias")) for x in (tiles, kernels, token)]
        inner = weight("qkv.weight").shape[0] // 3
        width = inner // self.heads
        sums: list[list[Array]] = [[], [], []]
        gathers, exits = [], []
        for head in range(self.heads):
            rows = slice(head * width, (head + 1) * width)
            query, key, value = (
                [x @ weight("qkv.weight")[part * inner : (part + 1) * inner][rows].T for x in normed]
                for part in range(3)
            )
            receive = self.masked(query[0] @ key[1].T / np.sqrt(width), exponent.T)
            gather = self.masked(query[1] @ key[0].T / np.sqrt(width), exponent)
            leave = softmax(query[2] @ key[1].T / np.sqrt(width), axis=1)
            for total, part in zip(sums, (receive @ value[1], gather @ value[0], leave @ value[1]), strict=True):
                total.append(part)
            gathers.append(gather)
            exits.append(leave[0])
        self.gathers.append(np.stack(gathers))
        self.exits.append(np.stack(exits))
        states = []
        for before, norm, total in zip((tiles, kernels, token), normed, sums, strict=True):
            base = norm if self.residual == "normed" else before
            x = base + np.concatenate(total, axis=1) @ weight("out.0.weight").T + weight("out.0.bias")
            hidden = layer_norm(x, weight("mlp.0.weight"), weight("mlp.0.bias"))
            hidden = gelu(hidden @ weight("mlp.1.weight").T + weight("mlp.1.bias"))
            states.append(x + hidden @ weight("mlp.4.weight").T + weight("mlp.4.bias"))
        return states

    def masked(self, scores: Array, exponent: Array) -> Array:
        if self.mask_mode == "bias":
            return softmax(scores + exponent, axis=1)
        return softmax(scores, axis=1) * np.exp(exponent)


OPTIONS = [(residual, mask_mode) for residual in ("normed", "pre") for mask_mode in ("multiply", "bias")]


def dense_twin(model: KAT) -> DenseKAT:
    weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    config = model.config
    return DenseKAT(weights, config.heads, config.depth, config.anchors.area_um2, config.residual, config.mask_mode)


def run_dense(model: KAT, bag: Bag) -> tuple[DenseKAT, Array]:
    twin, bag = dense_twin(model), model.prepare(bag)
    return twin, twin(bag.features.astype(np.float64), bag.positions_um, bag.anchors_um)


@pytest.mark.parametrize(("residual", "mask_mode"), OPTIONS)
@pytest.mark.parametrize("tiles", [1, 2, 61])
def test_logits(
    residual: str, mask_mode: str, tiles: int, make_kat: Callable[..., KAT], make_bag: Callable[..., Bag]
) -> None:
    model, bag = make_kat(residual=residual, mask_mode=mask_mode), make_bag(tiles)
    _, expected = run_dense(model, bag)
    np.testing.assert_allclose(model.judge(bag)[0], expected, rtol=1e-4, atol=1e-4)


def test_the_options_change_the_logits(make_kat: Callable[..., KAT], make_bag: Callable[..., Bag]) -> None:
    bag = make_bag(61)
    logits = [make_kat(residual=residual, mask_mode=mode).judge(bag)[0] for residual, mode in OPTIONS]
    for i, one in enumerate(logits):
        assert all((one - other).abs().max() > 1e-2 for other in logits[:i])


@pytest.mark.parametrize(("residual", "mask_mode"), OPTIONS)
def test_read_outs(residual: str, mask_mode: str, make_kat: Callable[..., KAT], make_bag: Callable[..., Bag]) -> None:
    bag = make_bag(61)
    for readout in ("two_hop", "all_exits"):
        model = make_kat(residual=residual, mask_mode=mask_mode, readout=readout)
        twin, _ = run_dense(model, bag)
        exits, gathers = [x.mean(axis=0) for x in twin.exits], [x.mean(axis=0) for x in twin.gathers]
        expected = exits[2] @ gathers[1]
        if readout == "all_exits":
            expected = expected + exits[1] @ gathers[0]
        np.testing.assert_allclose(model.judge(bag)[1], expected / expected.sum(), rtol=1e-3, atol=1e-6)


def test_class_evidence_is_the_gradient_times_the_embedding(
    make_kat: Callable[..., KAT], make_bag: Callable[..., Bag]
) -> None:
    model, bag = make_kat(), make_bag(17)
    embedding = model.embedding[0].weight.detach().double().numpy(), model.embedding[0].bias.detach().double().numpy()
    standardised = (bag.features - model.feature_mean.numpy()) / model.feature_std.numpy()
    embedded = standardised @ embedding[0].T + embedding[1]
    twin = dense_twin(model)
    # The twin starts from embedded tiles: its own embedding becomes the identity.
    width = model.config.width
    twin.weights |= {
        "feature_mean": np.zeros(width),
        "feature_std": np.ones(width),
        "embedding.0.weight": np.eye(width),
        "embedding.0.bias": np.zeros(width),
    }
    anchors = model.prepare(bag).anchors_um
    evidence = model.explain(bag).evidence
    step = 1e-5
    for tile in (0, 9):
        # Along its own embedding, the derivative is the gradient times the input.
        moved = [embedded.copy(), embedded.copy()]
        moved[0][tile] *= 1 + step
        moved[1][tile] *= 1 - step
        up, down = (twin(x, bag.positions_um, anchors) for x in moved)
        np.testing.assert_allclose(evidence[tile], (up - down) / (2 * step), rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("mask_mode", ["multiply", "bias"])
def test_pieces_give_what_the_whole_gives(
    mask_mode: str, make_kat: Callable[..., KAT], make_bag: Callable[..., Bag], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, bag = make_kat(mask_mode=mask_mode), make_bag(61)
    whole, whole_evidence = model.judge(bag), model.explain(bag).evidence
    monkeypatch.setattr(neighbourhoods, "TILES_AT_ONCE", 10)
    monkeypatch.setattr(neighbourhoods, "TILES_A_STEP", 20)
    monkeypatch.setattr(steps, "REMEMBERED", 0)
    for one, other in zip(model.judge(bag), whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.explain(bag).evidence, whole_evidence, rtol=1e-3, atol=1e-6)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_parameters_of_the_published_size() -> None:
    model = KAT(KATConfig.faithful(dimension=512, classes=4))
    per_block = [sum(p.numel() for p in block.parameters()) for block in model.blocks]
    assert per_block == [393_216 + 131_328 + 262_912 + 1_024] * 4 == [788_480] * 4
    assert sum(p.numel() for p in model.parameters()) == 4 * 788_480 + 513 * 256 + 2 * 256 + 512 + 257 * 4 == 3_287_300
