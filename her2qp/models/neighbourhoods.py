"""Which kernels are near which tiles, so that attention that fades with distance need not look at all pairs.

The tiles of a batch are put into an order in which neighbours follow each other, and cut into pieces of a few hundred.
Each piece lists the kernels of its bag by their distance: what is near at some scale is the beginning of the list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from her2qp.models.bag import BagBatch
from her2qp.models.steps import TILES_A_STEP

Points = NDArray[np.float32]
Rows = NDArray[np.intp]

TILES_AT_ONCE = 512
"""Tiles of a piece at most: with the kernels around them and eight heads, weights that stay in the cache."""

SMALL_BAGS = 64
"""Bags that have no more tiles than this together share a piece, with weights of 0 between them."""

NEGLIGIBLE = 9.2
"""A key this much farther than the nearest, as the difference of d²/2σ², is left out: beyond 4.3 σ.

The Gaussian gives it less than 1e-4 of the nearest key's weight, and where tissue covers the plane, that is the share
of all that is left out together. Inside a softmax, scores that are higher by R there raise it to at most exp(R - 9.2).
Logits move by less, for what is left out differs little from what is not: by 3e-7 in a new model, and by 9e-6 if its
scores are made sixteen times as large; attention by 2e-5 and 1e-4 of its highest (slides of 16,384 tiles).
"""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """A piece of a batch: tiles that lie together, and all kernels of their bags, the nearest first.

    Parameters
    ----------
    tiles
        Which they are, in the order of the layout.
    kernels
        Rows of the kernels, shape (k,), int64.
    margins_um2
        How much larger the squared distance from the piece to each kernel is than what it has to compete with: the
        largest between one of these tiles and its own nearest kernel, and between the kernel and its own nearest
        tile. Shape (k,), float64, ascending.
    tiles_um, kernels_um
        Where they lie, from the middle of the piece; shapes (t, 2) and (k, 2), float32.
    strangers
        Shape (k, t), bool: kernels and tiles of different bags; None where all are of one.
    """

    tiles: slice
    kernels: Tensor
    margins_um2: NDArray[np.float64]
    tiles_um: Tensor
    kernels_um: Tensor
    strangers: Tensor | None

    def count_near(self, variance_um2: float) -> int:
        """How many kernels from the first on a Gaussian of this variance (σ², µm²) reaches."""
        return int(np.searchsorted(self.margins_um2, 2 * variance_um2 * NEGLIGIBLE, side="right"))

    def log_gaussian(self, near: int, variance_um2: float) -> Tensor:
        """-d²/2σ² between the first kernels and the tiles, shape (near, t), float32; -∞ between bags."""
        # Differences, not |q|² - 2qk + |k|²: the latter cancels to nothing in float32.
        scale = (2 * variance_um2) ** -0.5
        kernels, tiles = self.kernels_um[:near] * scale, (self.tiles_um * scale).T.contiguous()
        across, along = (kernels[:, axis, None] - tiles[axis] for axis in (0, 1))
        exponents: Tensor = across.square_().addcmul_(along, along).neg_()
        return exponents if self.strangers is None else exponents.masked_fill_(self.strangers[:near], -torch.inf)

    def kernels_of_tiles(self) -> Tensor | int:
        """How many kernels the bag of each tile has: one number, or shape (t,) where there are several bags."""
        return len(self.kernels) if self.strangers is None else (~self.strangers).sum(dim=0)


Run = tuple[Neighbourhood, ...]
"""Pieces that follow each other."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A batch cut into neighbourhoods.

    Parameters
    ----------
    order
        Row in the batch of each tile of the layout, shape (n,), int64.
    pieces
        In the order of the tiles.
    """

    order: Tensor
    pieces: tuple[Neighbourhood, ...]

    def restore(self, values: Tensor) -> Tensor:
        """Put rows (n, …) from the order of the layout into that of the batch."""
        return torch.empty_like(values).index_copy(0, self.order, values)

    @property
    def runs(self) -> list[Run]:
        """The pieces in runs that go through a model together."""
        runs: list[list[Neighbourhood]] = [[]]
        for piece in self.pieces:
            if runs[-1] and piece.tiles.stop - runs[-1][0].tiles.start > TILES_A_STEP:
                runs.append([])
            runs[-1].append(piece)
        return [tuple(run) for run in runs]

    def split(self, tiles: Tensor) -> tuple[Tensor, ...]:
        """Put rows (n, …) of the batch into the order of the layout, and cut them into runs."""
        return torch.split(tiles[self.order], [sum(sizes(run)) for run in self.runs])


def sizes(pieces: Sequence[Neighbourhood]) -> list[int]:
    """How many tiles each piece has."""
    return [piece.tiles.stop - piece.tiles.start for piece in pieces]


def lay_out(batch: BagBatch) -> Layout:
    """Cut a batch into neighbourhoods."""
    tiles_um, anchors_um = batch.positions_um.cpu().numpy(), batch.anchors_um.cpu().numpy()
    tile_starts = [0, *accumulate(batch.tile_counts)]
    anchor_starts = [0, *accumulate(batch.anchor_counts)]
    device = batch.features.device
    order: list[Rows] = []
    pieces: list[Neighbourhood] = []
    start = 0
    for bags in _companies(batch.tile_counts):
        tiles = np.arange(tile_starts[bags.start], tile_starts[bags.stop])
        kernels = np.arange(anchor_starts[bags.start], anchor_starts[bags.stop])
        for rows, nearest_first, margins in _cut(tiles_um[tiles], anchors_um[kernels]):
            middle = tiles_um[tiles[rows]].mean(axis=0)
            pieces.append(
                Neighbourhood(
                    slice(start, start + len(rows)),
                    torch.from_numpy(kernels[nearest_first]).to(device),
                    margins,
                    torch.from_numpy(tiles_um[tiles[rows]] - middle).to(device),
                    torch.from_numpy(anchors_um[kernels[nearest_first]] - middle).to(device),
                    None if len(bags) == 1 else _strangers(batch, bags),
                )
            )
            order.append(tiles[rows])
            start += len(rows)
    return Layout(torch.from_numpy(np.concatenate(order)).to(device), tuple(pieces))


def _companies(tile_counts: Sequence[int]) -> Iterator[range]:
    """Runs of bags that share a piece: as many as stay small together, else one."""
    start, tiles = 0, 0
    for bag, count in enumerate(tile_counts):
        if bag > start and tiles + count > SMALL_BAGS:
            yield range(start, bag)
            start, tiles = bag, 0
        tiles += count
    yield range(start, len(tile_counts))


def _cut(tiles_um: Points, anchors_um: Points) -> Iterator[tuple[Rows, Rows, NDArray[np.float64]]]:
    """Cut tiles into pieces; for each its rows, the kernels by their margin, and the margins, ascending."""
    if len(tiles_um) <= TILES_AT_ONCE:
        yield np.arange(len(tiles_um)), np.arange(len(anchors_um)), np.zeros(len(anchors_um))
        return
    threads = torch.get_num_threads()
    to_kernel = cKDTree(anchors_um).query(tiles_um, workers=threads)[0] ** 2
    to_tile = cKDTree(tiles_um).query(anchors_um, workers=threads)[0] ** 2
    # Columns by themselves: numpy finds the ends of contiguous values many times faster.
    columns = np.ascontiguousarray(tiles_um.T)
    for rows in _halve(columns, np.arange(len(tiles_um))):
        piece = columns[:, rows]
        beside = anchors_um - np.clip(anchors_um, piece.min(axis=1), piece.max(axis=1))
        margins = np.square(beside, dtype=np.float64).sum(axis=1) - np.maximum(to_kernel[rows].max(), to_tile)
        nearest_first = np.argsort(margins)
        yield rows, nearest_first, margins[nearest_first]


def _halve(columns: Points, rows: Rows) -> Iterator[Rows]:
    """Cut at the median of the longer side until no piece is too large."""
    if len(rows) <= TILES_AT_ONCE:
        yield rows
        return
    sides = [column[rows] for column in columns]
    half = len(rows) // 2
    ranked = rows[np.argpartition(max(sides, key=np.ptp), half)]
    yield from _halve(columns, ranked[:half])
    yield from _halve(columns, ranked[half:])


def _strangers(batch: BagBatch, bags: range) -> Tensor:
    tile_counts = torch.tensor(batch.tile_counts[bags.start : bags.stop])
    anchor_counts = torch.tensor(batch.anchor_counts[bags.start : bags.stop])
    numbers = torch.arange(len(bags))
    of_tiles, of_kernels = numbers.repeat_interleave(tile_counts), numbers.repeat_interleave(anchor_counts)
    return (of_kernels[:, None] != of_tiles).to(batch.features.device)
