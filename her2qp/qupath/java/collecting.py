"""Collect the records of a run that differ in length, many at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.java.forms import Form
from her2qp.qupath.java.graph import Node
from her2qp.qupath.java.mixedruns import MixedRun

MAX_RECORD = 1 << 16
"""Longest record in bytes that is tried."""

_FIRST_TRY, _MOST_AT_ONCE = 1 << 14, 1 << 20
"""How many bytes are looked at together: few while it is not known whether the records make up a run."""

_MAX_FORMS = 32


@dataclass(slots=True, eq=False)
class KnownForms:
    """The forms that records of one class have had.

    Parameters
    ----------
    head
        Bytes with which each record begins.
    forms
        The forms.
    n_read
        Number of records that were read one by one.
    n_failed
        How often in succession there was no run.
    """

    head: bytes
    forms: list[Form] = field(default_factory=list)
    n_read: int = 0
    n_failed: int = 0

    @property
    def _n_lengths(self) -> int:
        return max((len(form.stretches) for form in self.forms), default=0)

    def lacks(self, data: NDArray[np.uint8], start: int) -> bool:
        """Whether the form of a record is not known and may still be added."""
        place = np.array([start])
        return len(self.forms) < _MAX_FORMS and all(form.measure(data, place)[0][0] < 0 for form in self.forms)

    def collect(self, data: NDArray[np.uint8], start: int, targets: Mapping[int, Node]) -> MixedRun:
        """The records that have one of the forms.

        Parameters
        ----------
        data
            The stream.
        start
            Where the first of them begins.
        targets
            What the handles in them stand for.
        """
        bounds, form_of = [np.array([start])], [np.empty(0, dtype=np.intp)]
        lengths = [np.empty((0, self._n_lengths), dtype=np.int64)]
        size = _FIRST_TRY
        while size:
            starts = self._candidates(data, int(bounds[-1][-1]), size)
            ends, forms, measured = self._measure(data, starts)
            follows = np.append(True, ends[:-1] == starts[1:]) & (ends >= 0)
            n = len(starts) if follows.all() else int(follows.argmin())
            size = min(4 * int(ends[n - 1] - starts[0]), _MOST_AT_ONCE) if n else 0
            bounds.append(ends[:n])
            form_of.append(forms[:n])
            lengths.append(measured[:n])
        places = np.concatenate(bounds)
        return MixedRun(
            tuple(self.forms),
            data[places[0] : places[-1]],
            places - places[0],
            np.concatenate(form_of),
            np.concatenate(lengths),
            targets,
        )

    def _candidates(self, data: NDArray[np.uint8], start: int, size: int) -> NDArray[np.int64]:
        """Where records may begin in the next bytes: at `start`, and wherever the bytes are those of the head."""
        window = data[start : start + size]
        last = len(self.head) - 1
        places = np.flatnonzero(window[last:] == self.head[last])
        for number, byte in enumerate(self.head[:last]):
            places = places[window[places + number] == byte]
        return start + (places if len(places) and places[0] == 0 else np.append(0, places))

    def _measure(
        self, data: NDArray[np.uint8], starts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]]:
        """What :meth:`Form.measure` says of the form that each record has, and the number of the form."""
        ends, form_of = np.full(len(starts), -1, dtype=np.int64), np.zeros(len(starts), dtype=np.intp)
        lengths = np.zeros((len(starts), self._n_lengths), dtype=np.int64)
        for number, form in enumerate(self.forms):
            rest = np.flatnonzero(ends < 0)
            if not len(rest):
                break
            ends[rest], of_form = form.measure(data, starts[rest])
            form_of[rest] = number
            lengths[rest, : len(form.stretches)] = of_form
        return ends, form_of, lengths
