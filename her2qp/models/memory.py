"""How many tiles go through a model together, and how much training remembers of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

Result = TypeVar("Result")

TILES_A_STEP = 2048
"""Tiles that go through a layer together: what is made of them on the way stays in the cache."""

REMEMBERED = 16384
"""Of so many tiles training keeps all that the gradients need; of more it computes most of it anew, step by step, so
that memory grows by little with the tiles."""


def run_step(function: Callable[..., Result], *arguments: Any, tiles: int, reentrant: bool = False) -> Result:
    """Call a function of some of a batch's tiles.

    Parameters
    ----------
    tiles
        How many the whole batch has: this decides whether what is computed on the way is remembered.
    reentrant
        Whether not even the graph of the function is remembered, whose thousands of nodes lie scattered through memory
        and keep what is freed between them from being used again. Then gradients only come by ``backward()``, and
        only through arguments and results that are tensors.
    """
    if tiles <= REMEMBERED or not torch.is_grad_enabled():
        return function(*arguments)
    result: Result = checkpoint(function, *arguments, use_reentrant=reentrant)
    return result
