"""Whether a model needs the tiles that its attention points at: deletion and insertion curves.

Attention by itself explains nothing. If the most attended tiles matter, the probability of the predicted class falls
fast when they are taken away first (deletion) and comes back fast when they are put in first (insertion), faster in
both cases than with tiles in random order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import EvaluationError
from her2qp.evaluation.intervals import Interval, percentile_interval

Judge = Callable[[Sequence[NDArray[np.int64]]], NDArray[np.floating]]
"""Probabilities of the class in question for several bags, each of the given tiles alone."""

SHARES = np.linspace(0, 1, 11)


@dataclass(frozen=True, slots=True, eq=False)
class Faithfulness:
    """Curves of one slide over :data:`SHARES` of its tiles, each of shape (11,).

    Parameters
    ----------
    deletion
        Probability after the given share of tiles, the most attended first, is taken away.
    insertion
        Probability with nothing but the given share of tiles, the most attended first.
    random_deletion, random_insertion
        The same in random order, mean of several orders.
    """

    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]
    random_deletion: NDArray[np.float64]
    random_insertion: NDArray[np.float64]

    @property
    def deletion_gain(self) -> float:
        """Area by which deletion lies under random deletion; above 0 if attention points at tiles that matter."""
        return _area(self.random_deletion - self.deletion)

    @property
    def insertion_gain(self) -> float:
        """Area by which insertion lies over random insertion; above 0 if attention points at tiles that suffice."""
        return _area(self.insertion - self.random_insertion)


def faithfulness_curves(
    judge: Judge, attention: NDArray[np.floating], *, orders: int = 5, seed: int = 0
) -> Faithfulness:
    """Take the tiles of a slide away, and put them in, by attention and at random.

    Parameters
    ----------
    judge
        Gets the row numbers of the tiles of several bags, ascending, at least one each, and gives the probability of
        the class in question for each bag. It is asked ``2 + orders`` times about 11 bags.
    attention
        Of each tile, shape (n,).
    orders
        Random orders to average over.
    seed
        Of these.

    Raises
    ------
    EvaluationError
        There is no tile, or the attention is not finite.
    """
    values = np.asarray(attention, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise EvaluationError("attention must be a finite number for each of one or more tiles")
    rng = np.random.default_rng(seed)
    by_attention = np.argsort(-values, kind="stable")
    # To insert a random order is to delete the reverse of it, which is as random.
    random = np.mean([_keep_first(judge, rng.permutation(len(values))) for _ in range(orders)], axis=0)
    return Faithfulness(
        deletion=_keep_first(judge, by_attention[::-1])[::-1],
        insertion=_keep_first(judge, by_attention),
        random_deletion=random[::-1],
        random_insertion=random,
    )


def mean_gains(curves: Sequence[Faithfulness], replicates: int = 2000, seed: int = 0) -> dict[str, Interval]:
    """Mean gain over slides, by resampling slides: ``deletion`` and ``insertion``.

    Raises
    ------
    EvaluationError
        There is no curve.
    """
    if not curves:
        raise EvaluationError("there is no slide whose attention could be checked")
    gains = np.array([[c.deletion_gain, c.insertion_gain] for c in curves])
    drawn = np.random.default_rng(seed).integers(0, len(gains), size=(replicates, len(gains)))
    means = gains[drawn].mean(axis=1)
    return {
        name: percentile_interval(float(gains[:, k].mean()), means[:, k])
        for k, name in enumerate(("deletion", "insertion"))
    }


def _area(curve: NDArray[np.float64]) -> float:
    from scipy.integrate import trapezoid

    return float(trapezoid(curve, SHARES))


def _keep_first(judge: Judge, order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability with the first tiles of an order, over SHARES; a bag never gets emptier than one tile."""
    counts = np.maximum(np.rint(SHARES * len(order)).astype(np.int64), 1)
    return np.asarray(judge([np.sort(order[:count]) for count in counts]), np.float64)
