"""A loss that asks for the right order of slides."""

from __future__ import annotations

import torch
from torch import Tensor


def ranking_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of max(0, 1 - (s_i - s_j)(y_i - y_j)) over all pairs with different labels; 0 if there is none.

    Lu et al., "SlideGraph+", Medical Image Analysis 2022, equation 6; labels that lie farther apart ask for less.

    Parameters
    ----------
    logits
        Of classes from low to high, shape (b, c). A slide's score s is the mean, over the borders between classes, of
        the log-odds of lying above: of two classes their log-odds, of a cumulative link its score.
    labels
        Shape (b,), int64.

    Returns
    -------
    Shape ().
    """
    higher, lower = (labels[:, None] > labels).nonzero(as_tuple=True)
    if len(higher) == 0:
        return logits.sum() * 0
    scores = latent_scores(logits)
    return torch.relu(1 - (scores[higher] - scores[lower]) * (labels[higher] - labels[lower])).mean()


def latent_scores(logits: Tensor) -> Tensor:
    """Mean log-odds of lying above each border between classes, shape (b,)."""
    above = logits.flip(dims=[1]).logcumsumexp(dim=1).flip(dims=[1])[:, 1:]
    below = logits.logcumsumexp(dim=1)[:, :-1]
    return (above - below).mean(dim=1)
