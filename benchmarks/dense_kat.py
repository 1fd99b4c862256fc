"""The published formulation of KAT, plainly: all pairs of tiles and kernels, every slide padded to one length.

After the equations of Zheng et al., MICCAI 2022, with the weights of our model; only the benchmark uses it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import dropout, layer_norm, linear

from her2qp.models.bag import Bag
from her2qp.models.kat import KAT

Part = Callable[..., tuple[Tensor, ...]]
"""Calls a function with tensors, as ``part(function, *tensors)``."""


def pad(bags: list[Bag], tiles: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features (b, n, d), squared distances between kernels and tiles (b, k, n), masks of tiles and kernels."""
    kernels = max(len(bag.anchors_um) for bag in bags)
    features = torch.zeros(len(bags), tiles, bags[0].dimension)
    squared = torch.zeros(len(bags), kernels, tiles)
    tile_mask, kernel_mask = torch.zeros(len(bags), tiles).bool(), torch.zeros(len(bags), kernels).bool()
    for row, bag in enumerate(bags):
        features[row, : len(bag)] = torch.from_numpy(bag.features)
        places, anchors = torch.from_numpy(bag.positions_um).float(), torch.from_numpy(bag.anchors_um).float()
        squared[row, : len(anchors), : len(bag)] = torch.cdist(anchors, places).square_()
        tile_mask[row, : len(bag)] = True
        kernel_mask[row, : len(anchors)] = True
    return features, squared, tile_mask, kernel_mask


def at_once(function: Callable[..., tuple[Tensor, ...]], *tensors: Tensor) -> tuple[Tensor, ...]:
    """The usual way to call a part."""
    return function(*tensors)


class TrainedInParts:
    """Times a training step too large for the memory: each part forth and back, then forgotten.

    Nothing is computed twice. The gradients that come from above are ones: what they are does not matter to the time.
    """

    def __init__(self) -> None:
        self.seconds = self.processor = 0.0

    def __call__(self, function: Callable[..., tuple[Tensor, ...]], *tensors: Tensor) -> tuple[Tensor, ...]:
        """Carry out a part and its gradients; the results have none."""
        tensors = tuple(tensor.detach().requires_grad_() for tensor in tensors)
        wall, processor = time.perf_counter(), time.process_time()
        with torch.enable_grad():
            results = function(*tensors)
        torch.autograd.backward(results, [torch.ones(()).expand_as(result) for result in results])
        self.seconds += time.perf_counter() - wall
        self.processor += time.process_time() - processor
        return tuple(result.detach() for result in results)


def dense_kat(
    model: KAT,
    features: Tensor,
    squared: Tensor,
    tile_mask: Tensor,
    kernel_mask: Tensor,
    *,
    part: Part = at_once,
    heads_at_once: int | None = None,
) -> Tensor:
    """Logits of padded slides, shape (b, c)."""
    weights, config = dict(model.named_parameters()), model.config
    rate = config.dropout if model.training else 0.0
    groups = range(0, config.heads, heads_at_once or config.heads)

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, exponent: Tensor | None) -> Tensor:
        scores = query @ key.transpose(-1, -2) * config.head_width**-0.5
        scores = scores.masked_fill(~mask[:, None, None], -1e9)
        if exponent is None:
            return scores.softmax(dim=-1) @ value
        if config.mask_mode == "bias":
            return (scores + exponent[:, None]).softmax(dim=-1) @ value
        return scores.softmax(dim=-1) * exponent.exp()[:, None] @ value

    def embed(features: Tensor) -> tuple[Tensor, ...]:
        standardised = (features - model.feature_mean) / model.feature_std
        return (linear(standardised, weights["embedding.0.weight"], weights["embedding.0.bias"]),)

    count, kernels = kernel_mask.shape
    tokens: Sequence[Tensor] = (
        *part(embed, features),
        weights["kernel_token"].expand(count, kernels, -1),
        weights["class_token"].expand(count, 1, -1),
    )
    for level in range(config.depth):
        w = {name.split(".", 2)[2]: value for name, value in weights.items() if name.startswith(f"blocks.{level}.")}
        exponent = squared / (-2 * config.anchors.area_um2 * 2**level)

        def project(*tokens: Tensor, w: dict[str, Tensor] = w) -> tuple[Tensor, ...]:
            normed = [layer_norm(x, x.shape[-1:], w["norm.weight"], w["norm.bias"]) for x in tokens]
            heads = [
                linear(x, w["qkv.weight"]).view(count, x.shape[1], 3, config.heads, -1).permute(2, 0, 3, 1, 4)
                for x in normed
            ]
            return *normed, *(each for three in heads for each in three)

        def read(*heads: Tensor, exponent: Tensor = exponent) -> tuple[Tensor, ...]:
            tile_q, tile_k, tile_v, kernel_q, kernel_k, kernel_v, class_q = heads
            return (
                attend(tile_q, kernel_k, kernel_v, kernel_mask, exponent.transpose(1, 2)),
                attend(kernel_q, tile_k, tile_v, tile_mask, exponent),
                attend(class_q, kernel_k, kernel_v, kernel_mask, None),
            )

        def update(*states: Tensor, w: dict[str, Tensor] = w) -> tuple[Tensor, ...]:
            updated = []
            for before, attended in zip(states[:3], states[3:], strict=True):
                joined = linear(attended.transpose(1, 2).flatten(2), w["out.0.weight"], w["out.0.bias"])
                state = before + dropout(joined, rate, model.training)
                hidden = layer_norm(state, state.shape[-1:], w["mlp.0.weight"], w["mlp.0.bias"])
                hidden = torch.nn.functional.gelu(linear(hidden, w["mlp.1.weight"], w["mlp.1.bias"]))
                hidden = linear(dropout(hidden, rate, model.training), w["mlp.4.weight"], w["mlp.4.bias"])
                updated.append(state + dropout(hidden, rate, model.training))
            return tuple(updated)

        *normed, tile_q, tile_k, tile_v, kernel_q, kernel_k, kernel_v, class_q, _, _ = part(project, *tokens)
        heads = (tile_q, tile_k, tile_v, kernel_q, kernel_k, kernel_v, class_q)
        by_group = [part(read, *(each[:, first : first + groups.step] for each in heads)) for first in groups]
        attended = [torch.cat(parts, dim=1) for parts in zip(*by_group, strict=True)]
        base = normed if config.residual == "normed" else tokens
        tokens = part(update, *base, *attended)
    last: Tensor = model.head(tokens[2][:, 0])
    return last
