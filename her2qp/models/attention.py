"""How much of each tile reaches the class token of a KAT: read-outs of its attention.

Inside a block, all updates read the states before it. What the class token reads in block l are therefore kernels that
gathered from the tiles in block l-1: the two have to be paired across blocks, and what the last block's kernels gather
is never read by anyone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from her2qp.models.gaussian_attention import Places, spread

Readout = Literal["two_hop", "all_exits"]


@dataclass(frozen=True, slots=True, eq=False)
class KernelReading:
    """What the kernels of one block read from the tiles: queries (b, h, k, w), keys (b, h, n, w), and their places."""

    queries: Tensor
    keys: Tensor
    places: Places

    def trace(self, kernel_weights: Tensor) -> Tensor:
        """Follow weights on kernels (b, k) back to the tiles (b, n)."""
        return spread(kernel_weights, self.queries, self.keys, self.places)


@dataclass(frozen=True, slots=True, eq=False)
class Exit:
    """What the class token of one block read from the kernels: attention by head, shape (b, h, 1, k)."""

    by_head: Tensor

    @property
    def weights(self) -> Tensor:
        """Mean over the heads, shape (b, k)."""
        return self.by_head.mean(dim=1)[:, 0]


def read_out(kind: Readout, readings: Sequence[KernelReading], exits: Sequence[Exit]) -> Tensor:
    """Attention on the tiles.

    Parameters
    ----------
    kind
        "two_hop": from the last block's class token to the kernels, and from these to the tiles they gathered in the
        block before, the shortest way on which a tile reaches the logits. "all_exits": the same summed over all blocks
        but the first, whose kernels have read nothing yet.
    readings
        Of the blocks 0 to L-2.
    exits
        Of the blocks 0 to L-1.

    Returns
    -------
    Shape (b, n), sum 1 over each bag, 0 where padded.
    """
    pairs = list(zip(readings, exits[1:], strict=True))
    if kind == "two_hop":
        pairs = pairs[-1:]
    attention = torch.stack([reading.trace(exit_.weights) for reading, exit_ in pairs]).sum(dim=0)
    return attention / attention.sum(dim=1, keepdim=True)
