"""Kernel contrastive learning: what a kernel says of its surroundings should not depend on which tiles are left there.

Zheng et al., "Kernel attention transformer for histopathology whole slide image analysis and assistant cancer
diagnosis", IEEE Transactions on Medical Imaging 2023: two views of each slide keep the kernels and drop tiles at
random; the kernels of one are to predict those of the other, as a slowly following copy of the model sees them (BYOL).
Kernels of the last block, which reach no logit, are not computed here and take no part.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from her2qp.models.bag import BagBatch
from her2qp.models.dropout import Dropout

HIDDEN = 1024
"""Width of the hidden layer of projector and predictor."""


class KernelContrast(nn.Module):
    """The parts that are needed in training only: a following copy of the model, projectors, and a predictor.

    Parameters
    ----------
    follower
        Model that follows the one that learns; its weights are those that the learner starts from.
    width
        Of a kernel's state.
    dropout
        In projectors and predictor.
    momentum
        How slowly the follower follows: its share in each new weight.
    """

    def __init__(self, follower: nn.Module, width: int, dropout: float, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.projector, self.predictor = _perceptron(width, dropout), _perceptron(width, dropout)
        self.follower = follower.requires_grad_(False)
        self.follower_projector = copy.deepcopy(self.projector).requires_grad_(False)

    @torch.no_grad()
    def follow(self, learner: nn.Module) -> None:
        """Move the following copies a step towards the weights of the learner."""
        for copies, originals in ((self.follower, learner), (self.follower_projector, self.projector)):
            weights = dict(originals.named_parameters())
            for name, parameter in copies.named_parameters():
                parameter.lerp_(weights[name], 1 - self.momentum)
            buffers = dict(originals.named_buffers())
            for name, buffer in copies.named_buffers():
                buffer.copy_(buffers[name])

    def distance(self, learner_states: Tensor, follower_states: Tensor) -> Tensor:
        """Mean of 1 - cos between predicted and projected kernels; states (k, w) alike in order, result ()."""
        with torch.no_grad():
            wanted = self.follower_projector(follower_states)
        predicted = self.predictor(self.projector(learner_states))
        return (1 - cosine_similarity(predicted.float(), wanted.float(), dim=-1)).mean()


def thinned(batch: BagBatch, most: float) -> BagBatch:
    """Drop tiles at random, of each bag another share between 0 and `most`, but never all; anchors stay."""
    bags = batch.bag_of_tile
    chances = torch.rand(len(bags), device=bags.device)
    shares = most * torch.rand(len(batch), device=bags.device)
    best = torch.zeros_like(shares).scatter_reduce(0, bags, chances, "amax")
    kept = (chances >= shares[bags]) | (chances == best[bags])
    return replace(
        batch,
        features=batch.features[kept],
        positions_um=batch.positions_um[kept],
        tile_counts=tuple(bags[kept].bincount(minlength=len(batch)).tolist()),
        graph=None,
    )


def _perceptron(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, HIDDEN, bias=False),
        nn.LayerNorm(HIDDEN),
        nn.GELU(),
        Dropout(dropout),
        nn.Linear(HIDDEN, width),
    )
