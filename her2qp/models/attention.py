"""How much of each tile reaches the class token of a KAT: read-outs of its attention.

Inside a block, all updates read the states before it. What the class token reads in block l are therefore kernels that
gathered from the tiles in block l-1: the two have to be paired across blocks, and what the last block's kernels gather
is never read by anyone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from her2qp.models.bag import BagBatch
from her2qp.models.kernel_attention import GaussianAttention
from her2qp.models.neighbourhoods import Layout, Run, sizes
from her2qp.models.pooling import bag_sums
from her2qp.models.steps import side_by_side

Readout = Literal["two_hop", "all_exits"]


@dataclass(frozen=True, slots=True, eq=False)
class KernelReading:
    """What the kernels of one block read from the tiles.

    Parameters
    ----------
    queries
        Of the kernels, shape (h, k, w), or (h, 1, w) if they are all the same.
    keys
        Gives those of a run of the tiles by its number, shape (h, t, w): computed anew, for few who train want to
        see them.
    log_mass
        Logarithm of what each kernel's weights are divided by, shape (h, k).
    attention
        The rule of the block.
    """

    queries: Tensor
    keys: Callable[[int], Tensor]
    log_mass: Tensor
    attention: GaussianAttention

    def trace(self, kernel_weights: Tensor, layout: Layout) -> Tensor:
        """Follow weights on kernels (k,) back to the tiles (n,) of a layout; without a gradient."""

        @torch.no_grad()
        def trace_run(numbered: tuple[int, Run]) -> Tensor:
            number, run = numbered
            pieces = zip(run, torch.split(self.keys(number), sizes(run), dim=1), strict=True)
            return torch.cat(
                [
                    self.attention.trace(piece, kernel_weights, self.queries, keys, self.log_mass)
                    for piece, keys in pieces
                ]
            )

        return torch.cat(list(side_by_side(trace_run, list(enumerate(layout.runs)), kernel_weights.device)))


def read_out(
    kind: Readout, readings: Sequence[KernelReading], exits: Sequence[Tensor], batch: BagBatch, layout: Layout
) -> Tensor:
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
        What the class token of the blocks 0 to L-1 read from the kernels: mean attention of the heads, shape (k,).

    Returns
    -------
    Shape (n,), sum 1 over each bag.
    """
    pairs = list(zip(readings, exits[1:], strict=True))
    if kind == "two_hop":
        pairs = pairs[-1:]
    attention = torch.stack([reading.trace(weights, layout) for reading, weights in pairs]).sum(dim=0)
    attention = layout.restore(attention)
    return attention / bag_sums(attention, batch)[batch.bag_of_tile]
