"""What a bag refuses, and what batching keeps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from her2qp.errors import ModelError
from her2qp.models.bag import Bag, collate
from her2qp.models.model import Model
from her2qp.models.registry import ARCHITECTURES

FEATURES = np.ones((3, 4), np.float32)
PLACES = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    ("features", "places", "tile_um", "says"),
    [
        (np.ones((0, 4)), np.ones((0, 2)), 128, "holds no tile"),
        (np.ones(4), PLACES, 128, r"features have shape \(4,\)"),
        (np.where(np.eye(3, 4, dtype=bool), np.nan, 1), PLACES, 128, "features of 3 of 3 tiles are not finite"),
        (np.array([[1, np.inf], [1, 1], [1, 1]]), PLACES, 128, "features of 1 of 3 tiles"),
        (FEATURES, PLACES[:2], 128, r"tile positions have shape \(2, 2\), not \(3, 2\)"),
        (FEATURES, np.full((3, 2), np.nan), 128, "tile positions are not finite"),
        (FEATURES, PLACES, 0, "tile cannot be 0 µm wide"),
    ],
)
def test_refuses_and_names_the_bag(features: np.ndarray, places: np.ndarray, tile_um: float, says: str) -> None:
    with pytest.raises(ModelError, match=f"slide 7: .*{says}"):
        Bag(features, places, tile_um, name="slide 7")


def test_tile_distances_survive_a_far_origin() -> None:
    bag = Bag(FEATURES, PLACES * 0.5 + 3e5, 0.5)
    batch = collate([bag])
    np.testing.assert_array_equal(batch.positions_um, PLACES * 0.5 - [0, 0.5])


def test_a_batch_holds_its_bags_one_after_another() -> None:
    bags = [Bag(FEATURES * n, PLACES + n, 1, anchors_um=PLACES[:n] + n) for n in (1, 3, 2)]
    batch = collate([bags[0], bags[1].take(np.array([2])), bags[2]])
    assert batch.features[:, 0].tolist() == [1, 1, 1, 3, 2, 2, 2]
    assert batch.bag_of_tile.tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert batch.bag_of_anchor.tolist() == [0, 1, 1, 1, 2, 2]


def test_batches_need_bags_of_one_dimension() -> None:
    with pytest.raises(ModelError, match="4 and 5 dimensions"):
        collate([Bag(FEATURES, PLACES, 1), Bag(np.ones((3, 5)), PLACES, 1)])
    with pytest.raises(ModelError, match="at least one"):
        collate([])


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - {"ensemble"}))
def test_a_model_refuses_features_of_another_dimension(architecture: str, make_model: Callable[[str], Model]) -> None:
    with pytest.raises(ModelError, match="slide 7: the features have 4 dimensions, the model takes 12"):
        make_model(architecture).judge(Bag(FEATURES, PLACES, 1, name="slide 7"))
