"""Average linkage of things of which most pairs have nothing in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cluster(count: int, pairs: NDArray[np.intp], similarities: NDArray[np.float64], least: float) -> NDArray[np.intp]:
    """Join the most similar clusters as long as their members' mean similarity is high enough.

    Memory and time grow with the pairs that are given, not with all there could be. The chain of nearest neighbours
    (Murtagh, Computational Statistics Quarterly 1984) finds the same clusters as always joining the best pair, because
    a mean of similarities to two clusters is never larger than the larger of the two.

    Parameters
    ----------
    count
        Number of things.
    pairs
        Those with a similarity above 0, each once, shape (p, 2).
    similarities
        Of the pairs, shape (p,), above 0.
    least
        Mean similarity that two clusters need to be joined, above 0.

    Returns
    -------
    Number of the cluster of each thing, shape (count,), in the order of the clusters' first members.
    """
    sums: list[dict[int, float]] = [{} for _ in range(count)]
    for (one, other), similarity in zip(pairs.tolist(), similarities.tolist(), strict=True):
        sums[one][other] = sums[other][one] = similarity
    sizes, joined = [1] * count, list(range(count))
    for start in range(count):
        chain = [start] if joined[start] == start else []
        while chain:
            tip = chain[-1]
            nearest, similarity = _nearest(sums[tip], sizes, chain[-2] if len(chain) > 1 else None)
            if similarity < least * sizes[tip]:
                # Nothing will ever be nearer to it: it is as large as it gets, and so is who came here by it.
                chain.pop()
            elif len(chain) > 1 and nearest == chain[-2]:
                into, gone = sorted(chain[-2:])
                _join(sums, into, gone)
                sizes[into] += sizes[gone]
                joined[gone] = into
                chain = chain[:-2] or [into]
            else:
                chain.append(nearest)
    for thing in range(count):
        # A cluster bears the number of its first member, which has been resolved before.
        joined[thing] = joined[joined[thing]]
    return np.unique(joined, return_inverse=True)[1]


def _nearest(sums: dict[int, float], sizes: list[int], favourite: int | None) -> tuple[int, float]:
    """Most similar cluster, and the sum of similarities for each of its members; the favourite if as similar."""
    best, highest = -1, 0.0
    if favourite is not None:
        best, highest = favourite, sums[favourite] / sizes[favourite]
    for other, total in sums.items():
        similarity = total / sizes[other]
        if similarity > highest:
            best, highest = other, similarity
    return best, highest


def _join(sums: list[dict[int, float]], into: int, gone: int) -> None:
    kept = sums[into]
    del kept[gone]
    for other, total in sums[gone].items():
        if other == into:
            continue
        kept[other] = sums[other][into] = kept.get(other, 0.0) + total
        del sums[other][gone]
    sums[gone] = {}
