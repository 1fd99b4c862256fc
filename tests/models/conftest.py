"""Small models whose every weight matters, and bags on a grid."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from her2qp.models.anchors import AnchorConfig
from her2qp.models.bag import Bag
from her2qp.models.bundle import Bundle
from her2qp.models.bundle_config import Training
from her2qp.models.kat import KAT, KATConfig
from her2qp.models.model import Model
from her2qp.models.registry import build_model

DIMENSION, TILE_UM = 12, 128.0
SMALL = {"depth": 3, "width": 10, "heads": 2, "head_width": 6, "mlp_width": 14}


def _scrambled(model: Model) -> Model:
    """Move all weights away from their initial values: norms start at 1 and 0, where mistakes would not show."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        model.feature_mean += torch.randn(model.feature_mean.shape, generator=generator)
        model.feature_std *= 1.5
    return model.eval()


@pytest.fixture
def make_kat() -> Callable[..., KAT]:
    """Make a small KAT; one anchor serves nine tiles unless `area_um2` says otherwise."""

    def make(area_um2: float = 9 * TILE_UM**2, **options: object) -> KAT:
        torch.manual_seed(4)
        anchors = AnchorConfig(area_um2=area_um2)
        return _scrambled(KAT(KATConfig(dimension=DIMENSION, classes=4, anchors=anchors, **(SMALL | options))))

    return make


@pytest.fixture
def make_model(make_kat: Callable[..., KAT]) -> Callable[[str], Model]:
    """Make a small model of any architecture."""

    def make(architecture: str) -> Model:
        if architecture == "kat":
            return make_kat()
        torch.manual_seed(4)
        sizes = {"width": 10, "gate_width": 7} if architecture in ("abmil", "clam") else {}
        return _scrambled(build_model(architecture, {"dimension": DIMENSION, "classes": 4} | sizes))

    return make


@pytest.fixture
def make_bag() -> Callable[..., Bag]:
    """Make a bag of `n` tiles strewn over a grid, far from the origin as on a real slide."""

    def make(n: int, seed: int = 0) -> Bag:
        rng = np.random.default_rng(seed)
        side = int(np.ceil(np.sqrt(2 * n)))
        cells = rng.choice(side * side, size=n, replace=False)
        positions = np.stack(np.divmod(cells, side), axis=1) * TILE_UM + 20_000
        return Bag(rng.normal(size=(n, DIMENSION)).astype(np.float32), positions, TILE_UM, name=f"bag of {n}")

    return make


@dataclass(frozen=True)
class Extractor:
    """An extractor's identity, as a bundle wants to see it."""

    id: str = "test-extractor"
    dimension: int = DIMENSION
    tile_px: int = 256
    mpp: float = 0.5
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.2, 0.2, 0.2)
    weights_sha256: str = "a" * 64
    fingerprint: str = "b" * 64


@pytest.fixture
def extractor() -> Extractor:
    """The extractor that `make_bundle` names."""
    return Extractor()


@pytest.fixture
def make_bundle(make_model: Callable[[str], Model], extractor: Extractor) -> Callable[..., Bundle]:
    """Make a bundle of a small model."""
    training = Training(
        data="noise", artificial=True, seeds=(1, 2), versions={"torch": "2"}, date=datetime.date(2026, 1, 2)
    )

    def make(architecture: str = "kat", **options: object) -> Bundle:
        options = {"name": "test"} | options
        return Bundle.create(make_model(architecture), extractor, training, **options)

    return make
