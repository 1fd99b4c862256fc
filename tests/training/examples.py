"""Bags with a planted signal, and small models."""

from __future__ import annotations

import numpy as np
import torch

from her2qp.models.bag import Bag
from her2qp.models.kat import KAT, KATConfig
from her2qp.models.model import Model
from her2qp.models.registry import build_model
from her2qp.training.fit import Examples

DIMENSION = 6


def make_examples(count: int, seed: int) -> Examples:
    """Bags of noise; in those of class 1, a quarter of the tiles is shifted along one feature."""
    rng = np.random.default_rng(seed)
    bags, labels = [], []
    for index in range(count):
        tiles = int(rng.integers(8, 40))
        features = rng.normal(size=(tiles, DIMENSION)).astype(np.float32) + 5
        features[: (tiles + 3) // 4, 2] += 4 * (index % 2)
        positions = np.stack(np.divmod(np.arange(tiles), 7), axis=1) * 128.0
        bags.append(Bag(features, positions, tile_um=128, name=f"bag {index}"))
        labels.append(index % 2)
    return Examples(bags, labels)


def make_model(kind: str) -> Model:
    torch.manual_seed(1)
    if kind in ("abmil", "clam"):
        return build_model(kind, {"dimension": DIMENSION, "classes": 2, "width": 16, "gate_width": 8})
    sizes = {"depth": 2, "width": 16, "heads": 2, "head_width": 8, "mlp_width": 16, "dropout": 0.1}
    return KAT(KATConfig(dimension=DIMENSION, classes=2, residual="pre", mask_mode="bias", **sizes))
