"""Dropout that draws eight values at a time on a CPU, where drawing takes a quarter of a training step otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


class _Source(threading.local):
    """What a thread draws from: None for the generator that all threads share."""

    generator: torch.Generator | None = None


_SOURCE = _Source()


@contextmanager
def drawing_from(seed: int | None, device: torch.device) -> Iterator[None]:
    """Let dropout in this thread draw from a generator of its own for a while; None: from what it draws from."""
    before = _SOURCE.generator
    if seed is not None:
        _SOURCE.generator = torch.Generator(device).manual_seed(seed)
    try:
        yield
    finally:
        _SOURCE.generator = before


class Dropout(nn.Dropout):
    """Dropout that can draw from a generator of its thread (:func:`drawing_from`).

    On a CPU its rate is rounded to a multiple of 1/256; what is kept is scaled by what that leaves.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Drop values at random in training."""
        if not self.training or self.p == 0:
            return values
        if values.device.type != "cpu":
            return values * torch.empty_like(values).bernoulli_(1 - self.p, generator=_SOURCE.generator) / (1 - self.p)
        dropped = min(255, round(self.p * 256))
        # All of the 64 bits: the default leaves out the sign.
        words = torch.empty((values.numel() + 7) // 8, dtype=torch.int64)
        words.random_(-(2**63), None, generator=_SOURCE.generator)
        # NumPy compares and converts bytes five times as fast as PyTorch.
        kept = words.numpy().view(np.uint8)[: values.numel()].reshape(values.shape) >= dropped
        scale = np.multiply(kept, 256 / (256 - dropped), dtype=np.float32)
        return values * torch.from_numpy(scale).to(values.dtype)
