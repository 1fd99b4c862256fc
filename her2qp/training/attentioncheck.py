"""What the attention of the judging models is worth: deletion and insertion curves, maps of right and wrong cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from her2qp.evaluation import AttentionMap, Predictions, faithfulness_curves
from her2qp.evaluation.faithfulness import SHARES, Faithfulness
from her2qp.models.bag import Bag
from her2qp.models.model import Model, evaluating

_MAPS_OF_EACH = 6


@dataclass(frozen=True, slots=True, eq=False)
class JudgedSlides:
    """Slides with what was said of them and who said it.

    Parameters
    ----------
    predictions
        One a slide.
    bags
        Of the same slides.
    models
        The model that judged each slide; the softmax of its logits is what it says.
    """

    predictions: Predictions
    bags: Sequence[Bag]
    models: Sequence[Model]

    def pooled_by(self, model: Model) -> NDArray[np.float32]:
        """Tiles of each slide as one model embeds them, weighted by its attention: shape (n, w)."""
        return np.array([_pooled(model, bag) for bag in self.bags])


def check_attention(judged: JudgedSlides, slides: int, seed: int = 0) -> list[Faithfulness]:
    """Deletion and insertion curves of some slides, all classes taking turns.

    Parameters
    ----------
    judged
        Slides with fewer tiles than a curve has points are passed over.
    slides
        At most so many.
    seed
        Of the choice and of the random orders.
    """
    rng = np.random.default_rng(seed)
    labels = judged.predictions.labels
    order = rng.permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        turn[order[labels[order] == label]] = np.arange((labels == label).sum())
    in_turn = order[np.argsort(turn[order], kind="stable")]
    rows = [row for row in in_turn if len(judged.bags[row]) >= len(SHARES)][:slides]
    return [_curves(judged.models[row], judged.bags[row], seed) for row in rows]


def draw_attention(judged: JudgedSlides) -> list[AttentionMap]:
    """Attention maps of the slides whose class was surest right, and surest wrong."""
    said = judged.predictions
    surest = np.argsort(-said.probabilities.max(axis=1), kind="stable")
    right = said.predicted[surest] == said.labels[surest]
    rows = [*surest[right][:_MAPS_OF_EACH], *surest[~right][:_MAPS_OF_EACH]]
    return [
        AttentionMap(
            slide=str(said.slides[row]),
            patient=str(said.patients[row]),
            positions_um=judged.bags[row].positions_um,
            tile_um=judged.bags[row].tile_um,
            attention=judged.models[row].judge(judged.bags[row])[1].numpy(),
        )
        for row in rows
    ]


def _curves(model: Model, bag: Bag, seed: int) -> Faithfulness:
    bag = model.prepare(bag.in_memory())  # once for all parts of it: anchors stay where they are without some tiles
    logits, attention = model.judge(bag)
    predicted = int(logits.argmax())

    def probabilities(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.floating]:
        logits = model.logits([bag.take(rows) for rows in parts])
        said: NDArray[np.float32] = logits.softmax(dim=1)[:, predicted].numpy()
        return said

    return faithfulness_curves(probabilities, attention.numpy(), seed=seed)


@torch.no_grad()
def _pooled(model: Model, bag: Bag) -> NDArray[np.float32]:
    with evaluating(model):
        batch = model.collate([bag])
        tiles = model.embed(batch)
        _, attention = model.classify_with_attention(tiles, batch)
    pooled: NDArray[np.float32] = (attention @ tiles).float().cpu().numpy()
    return pooled
