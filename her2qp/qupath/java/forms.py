"""The forms of records that differ in length: layouts in which every string and array of numbers may have any length.

The rest of a record stands where these lengths put it, so that many records are measured at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.java.graph import JavaArray, JavaString
from her2qp.qupath.java.runs import Layout


def at_every_byte(data: NDArray[np.uint8], dtype: str) -> NDArray[np.generic]:
    """`data` as values that begin at every byte and so overlap, shape (len(data) - size + 1,)."""
    size = np.dtype(dtype).itemsize
    return np.ndarray((len(data) - size + 1,), dtype, data, strides=(1,))


def rows_at(data: NDArray[np.uint8], places: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """The bytes at some places of `data`, shape (n, size); every place must leave room for them."""
    return at_every_byte(data, f"V{size}")[places].view(np.uint8).reshape(len(places), size)


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A string or array of numbers in a record.

    Parameters
    ----------
    offset, n_elements
        Where it begins in the layout's record, and how many elements it has there.
    element_size
        Bytes of an element.
    length
        Type of its length, which stands before it.
    """

    offset: int
    n_elements: int
    element_size: int
    length: np.dtype[np.unsignedinteger]


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """What is between two stretches, before the first or after the last.

    Parameters
    ----------
    mask
        0xFF for the bytes that are the same in all records, else 0; shape (size,), uint8. The length of the stretch
        that follows comes last and is not the same.
    expected
        These bytes, and 0 for the others, shape (size,), uint8.
    """

    mask: NDArray[np.uint8]
    expected: NDArray[np.uint8]


class Form:
    """The form of some of the records of a run.

    Parameters
    ----------
    layout
        The layout of one of the records.
    stretches
        What may have another length in another record, in order.
    """

    def __init__(self, layout: Layout, stretches: tuple[Stretch, ...]) -> None:
        self.layout = layout
        self.stretches = stretches
        self._gaps: list[Gap] = []
        start = 0
        for stretch in stretches:
            self._gaps.append(_gap(layout, start, stretch.offset, stretch.length.itemsize))
            start = stretch.offset + stretch.n_elements * stretch.element_size
        self._gaps.append(_gap(layout, start, len(layout.record), 0))

    @classmethod
    def of(cls, layout: Layout) -> Form | None:
        """The form of a record; None if one of its strings or arrays is empty, so that its place would be unclear."""
        stretches = []
        for owner, offset in sorted(layout.payloads.items(), key=lambda item: item[1]):
            if isinstance(owner, JavaString):
                stretches.append(Stretch(offset, len(owner.raw), 1, np.dtype(">u2")))
            elif isinstance(owner, JavaArray):
                stretches.append(Stretch(offset, len(owner), owner.desc.element_size or 1, np.dtype(">u4")))
        return cls(layout, tuple(stretches)) if all(stretch.n_elements for stretch in stretches) else None

    def measure(
        self, data: NDArray[np.uint8], starts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Measure the records that begin at some places.

        Parameters
        ----------
        data
            The stream, not shorter than the layout's record.
        starts
            Where they may begin, shape (n,).

        Returns
        -------
        ends, lengths
            Where they end, shape (n,), -1 if none of this form is there; lengths of their stretches, shape
            (n, len(stretches)).
        """
        places, fits = starts.copy(), np.ones(len(starts), dtype=np.bool_)
        lengths = np.zeros((len(starts), len(self.stretches)), dtype=np.int64)
        for number, gap in enumerate(self._gaps):
            size = len(gap.mask)
            fits &= places <= len(data) - size
            rows = rows_at(data, np.where(fits, places, 0), size)
            fits &= ((rows & gap.mask) == gap.expected).all(axis=1)
            places += size
            if number < len(self.stretches):
                stretch = self.stretches[number]
                length = np.ascontiguousarray(rows[:, size - stretch.length.itemsize :]).view(stretch.length)
                lengths[:, number] = length[:, 0]
                places += lengths[:, number] * stretch.element_size
        return np.where(fits, places, -1), lengths


def _gap(layout: Layout, start: int, stop: int, length_size: int) -> Gap:
    mask = layout.structure[start:stop].copy()
    mask[len(mask) - length_size :] = 0
    return Gap(mask, np.frombuffer(layout.record, dtype=np.uint8)[start:stop] & mask)
