"""An ensemble is the mean of its members' calibrated probabilities, in a bundle like any model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from her2qp.errors import BundleError
from her2qp.models.bag import Bag
from her2qp.models.bundle import Bundle
from her2qp.models.ensemble import Ensemble
from her2qp.models.model import Model
from her2qp.models.registry import build_model

TEMPERATURES = (0.7, 1.0, 2.5)


def make_members(make_model: Callable[[str], Model], architecture: str) -> list[Model]:
    members = [make_model(architecture) for _ in TEMPERATURES]
    for number, member in enumerate(members):
        with torch.no_grad():
            for parameter in member.parameters():
                parameter += 0.05 * number
            member.feature_mean += number
    return members


@pytest.mark.parametrize("architecture", ["kat", "abmil", "clam"])
def test_it_says_the_mean_of_what_its_members_say(
    architecture: str, make_model: Callable[[str], Model], make_bag: Callable[..., Bag]
) -> None:
    members, bag = make_members(make_model, architecture), make_bag(50)
    each = [member.judge(bag) for member in members]
    said, attention = Ensemble.of(members, TEMPERATURES).judge(bag)
    expected = np.mean([(logits / t).softmax(0) for (logits, _), t in zip(each, TEMPERATURES, strict=True)], axis=0)
    np.testing.assert_allclose(said.softmax(0), expected, atol=1e-6)
    np.testing.assert_allclose(attention, np.mean([a for _, a in each], axis=0), atol=1e-7)


def test_it_travels_in_a_bundle(
    tmp_path: Path, make_model: Callable[[str], Model], make_bag: Callable[..., Bag], make_bundle: Callable[..., Bundle]
) -> None:
    one = make_bundle()
    ensemble = Ensemble.of(make_members(make_model, "kat"), TEMPERATURES)
    saved = Bundle.create(ensemble, one.config.features, one.config.training, name="five")
    saved.save(tmp_path / "five")
    loaded, bag = Bundle.load(tmp_path / "five"), make_bag(30)
    for field in ("probabilities", "attention", "tile_probabilities"):
        np.testing.assert_array_equal(getattr(loaded.predict(bag), field), getattr(saved.predict(bag), field))
    assert loaded.explain(bag).evidence.shape == (30, 4)


def test_ensembles_of_ensembles_and_members_of_another_size_are_refused(make_model: Callable[[str], Model]) -> None:
    config = Ensemble.of([make_model("abmil")], [1.0]).config.model_dump()
    for change, says in (
        ({"architecture": "ensemble"}, "cannot be ensembles"),
        ({"classes": 3}, "classes is not that of its members"),
        ({"temperatures": ()}, "temperatures"),
        ({"architecture": "cnn"}, "unknown architecture"),
    ):
        with pytest.raises(BundleError, match=says):
            build_model("ensemble", config | change)
