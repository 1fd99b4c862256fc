"""From what a model has read of a slide to one logit a class, by four views of how the classes hang together.

Each head is a linear map to scores, and a rule that makes class logits of the scores. The ordinal and binary rules give
logarithms of probabilities, so that a softmax gives these back, and the cross-entropy is the head's own likelihood.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad, softplus

from her2qp.errors import ModelError
from her2qp.models.precision import full_precision

HeadKind = Literal["categorical", "binary", "corn", "cumulative"]

NARROWEST_CLASS = 1e-4
"""Least distance of two cut-points: a class between two that are equal would have the probability 0."""


class Head(nn.Linear, ABC):
    """A linear map to scores, and class logits from these.

    Parameters
    ----------
    width
        Of what a model has read.
    scores
        How many scores the classes are told from.
    """

    def __init__(self, width: int, scores: int, *, bias: bool = True) -> None:
        super().__init__(width, scores, bias=bias)

    def scores(self, pooled: Tensor) -> Tensor:
        """Scores (…, s), float32, of what was read (…, w); linear, so that the mean of scores is that of the mean."""
        with full_precision(pooled):
            return super().forward(pooled.float())

    @abstractmethod
    def logits(self, scores: Tensor) -> Tensor:
        """Class logits (…, c) from scores (…, s)."""

    def forward(self, pooled: Tensor) -> Tensor:
        """Class logits (…, c), float32, from what was read (…, w)."""
        return self.logits(self.scores(pooled))


class CategoricalHead(Head):
    """A score for each class: the classes have no order."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, classes)

    def logits(self, scores: Tensor) -> Tensor:
        """The scores themselves."""
        return scores


class BinaryHead(Head):
    """One score: the log-odds of the second of two classes."""

    def __init__(self, width: int, classes: int) -> None:
        if classes != 2:
            raise ModelError(
                f"a binary head tells two classes apart, not {classes}",
                remedy="Take a categorical or ordinal head, or labels of two classes.",
            )
        super().__init__(width, 1)

    def logits(self, scores: Tensor) -> Tensor:
        """0 and the log-odds."""
        return pad(scores, (1, 0))


class CORNHead(Head):
    """Conditional ordinal regression: score k is the log-odds of a class above k, given that it is at least k.

    Shi, Cao, Raschka, "Deep neural networks for rank-consistent ordinal regression based on conditional
    probabilities", Pattern Analysis and Applications 2023, equations 4 to 7: P(y > k) = Πᵢ≤ₖ σ(fᵢ). Their loss divides
    the same likelihood by the number of conditional cases in place of the number of slides.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, classes - 1)

    def logits(self, scores: Tensor) -> Tensor:
        """Log P(y = k) = log σ(-f_k) + Σᵢ<ₖ log σ(fᵢ)."""
        above = logsigmoid(scores).cumsum(dim=-1)
        return pad(logsigmoid(-scores), (0, 1)) + pad(above, (1, 0))


class CumulativeHead(Head):
    """Cumulative link, proportional odds: one score, and cut-points that divide its line into the classes.

    McCullagh, "Regression models for ordinal data", Journal of the Royal Statistical Society B 1980, section 2:
    P(y ≤ k) = σ(θ_k - s).
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, 1, bias=False)
        # At the score 0 all classes are equally likely.
        cuts = torch.logit(torch.arange(1, classes) / classes)
        self.first_cut = nn.Parameter(cuts[:1])
        self.gaps = nn.Parameter((cuts.diff() - NARROWEST_CLASS).expm1().log())

    def cuts(self) -> Tensor:
        """Cut-points, shape (c - 1,), ascending."""
        return torch.cat([self.first_cut, self._gaps()]).cumsum(dim=0)

    def logits(self, scores: Tensor) -> Tensor:
        """Log(σ(θ_k - s) - σ(θ_{k-1} - s)), as log σ(θ_k - s) + log σ(s - θ_{k-1}) + log(1 - exp(θ_{k-1} - θ_k))."""
        beyond = scores - self.cuts()
        inner = (-torch.expm1(-self._gaps())).log()
        return pad(logsigmoid(-beyond), (0, 1)) + pad(logsigmoid(beyond), (1, 0)) + pad(inner, (1, 1))

    def _gaps(self) -> Tensor:
        return softplus(self.gaps) + NARROWEST_CLASS


_HEADS: dict[HeadKind, type[CategoricalHead | BinaryHead | CORNHead | CumulativeHead]] = {
    "categorical": CategoricalHead,
    "binary": BinaryHead,
    "corn": CORNHead,
    "cumulative": CumulativeHead,
}


def make_head(kind: HeadKind, width: int, classes: int) -> Head:
    """Make an untrained head.

    Parameters
    ----------
    kind
        "categorical"; "binary", for two classes; "corn" or "cumulative", for classes from low to high.
    width
        Of what it reads.
    classes
        How many it tells apart.

    Raises
    ------
    ModelError
        A binary head is asked for another number of classes than two.
    """
    return _HEADS[kind](width, classes)
