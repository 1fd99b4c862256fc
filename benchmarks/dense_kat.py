"""The published formulation of KAT, plainly: all pairs of tiles and kernels, every slide padded to one length.

After the equations of Zheng et al., MICCAI 2022, with the weights of our model; only the benchmark uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import dropout, layer_norm, linear

from her2qp.models.bag import Bag
from her2qp.models.kat import KAT


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


def dense_kat(model: KAT, features: Tensor, squared: Tensor, tile_mask: Tensor, kernel_mask: Tensor) -> Tensor:
    """Logits of padded slides, shape (b, c)."""
    weights, config = dict(model.named_parameters()), model.config
    rate = config.dropout if model.training else 0.0

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, exponent: Tensor | None) -> Tensor:
        scores = query @ key.transpose(-1, -2) * config.head_width**-0.5
        scores = scores.masked_fill(~mask[:, None, None], -1e9)
        if exponent is None:
            return scores.softmax(dim=-1) @ value
        if config.mask_mode == "bias":
            return (scores + exponent[:, None]).softmax(dim=-1) @ value
        return scores.softmax(dim=-1) * exponent.exp()[:, None] @ value

    count, kernels = kernel_mask.shape
    tokens = [
        linear(
            (features - model.feature_mean) / model.feature_std,
            weights["embedding.0.weight"],
            weights["embedding.0.bias"],
        ),
        weights["kernel_token"].expand(count, kernels, -1),
        weights["class_token"].expand(count, 1, -1),
    ]
    for level in range(config.depth):
        w = {name.split(".", 2)[2]: value for name, value in weights.items() if name.startswith(f"blocks.{level}.")}
        exponent = squared / (-2 * config.anchors.area_um2 * 2**level)
        normed = [layer_norm(x, x.shape[-1:], w["norm.weight"], w["norm.bias"]) for x in tokens]
        heads = [
            linear(x, w["qkv.weight"]).view(count, x.shape[1], 3, config.heads, -1).permute(2, 0, 3, 1, 4)
            for x in normed
        ]
        (tile_q, tile_k, tile_v), (kernel_q, kernel_k, kernel_v), (class_q, _, _) = heads
        attended = [
            attend(tile_q, kernel_k, kernel_v, kernel_mask, exponent.transpose(1, 2)),
            attend(kernel_q, tile_k, tile_v, tile_mask, exponent),
            attend(class_q, kernel_k, kernel_v, kernel_mask, None),
        ]
        base = normed if config.residual == "normed" else tokens
        tokens = []
        for before, read in zip(base, attended, strict=True):
            joined = linear(read.transpose(1, 2).flatten(2), w["out.0.weight"], w["out.0.bias"])
            state = before + dropout(joined, rate, model.training)
            hidden = layer_norm(state, state.shape[-1:], w["mlp.0.weight"], w["mlp.0.bias"])
            hidden = torch.nn.functional.gelu(linear(hidden, w["mlp.1.weight"], w["mlp.1.bias"]))
            hidden = linear(dropout(hidden, rate, model.training), w["mlp.4.weight"], w["mlp.4.bias"])
            tokens.append(state + dropout(hidden, rate, model.training))
    last: Tensor = model.head(tokens[2][:, 0])
    return last
