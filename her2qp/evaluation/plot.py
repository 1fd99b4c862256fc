"""A small plot of two axes from 0 to 1, as SVG that is part of a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SIDE = 200
_LEFT, _TOP, _RIGHT, _BOTTOM = 42, 24, 10, 38
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(slots=True)
class UnitPlot:
    """Lines, bands and points over the unit square; the page's style sheet colours them by their kind.

    Parameters
    ----------
    title, x_label, y_label
        Shown at the top and along the axes.
    """

    title: str
    x_label: str
    y_label: str
    _drawn: list[str] = field(default_factory=list)

    def line(self, x: ArrayLike, y: ArrayLike, kind: str) -> None:
        """Join points that are numbers; `kind` is the class in the style sheet."""
        self._drawn.append(f'<polyline class="{escape(kind)}" points="{_points(*_finite(x, y))}"/>')

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, kind: str) -> None:
        """Fill between two curves."""
        across, lower, upper = _finite(x, low, high)
        outline = _points(np.r_[across, across[::-1]], np.r_[lower, upper[::-1]])
        self._drawn.append(f'<polygon class="{escape(kind)}" points="{outline}"/>')

    def points(self, x: ArrayLike, y: ArrayLike, low: ArrayLike, high: ArrayLike, kind: str) -> None:
        """Draw points with whiskers."""
        for px, py, bottom, top in zip(*_finite(x, y, low, high), strict=True):
            self._drawn.append(
                f'<line class="{escape(kind)}" x1="{_x(px):.1f}" x2="{_x(px):.1f}" y1="{_y(bottom):.1f}" '
                f'y2="{_y(top):.1f}"/><circle class="{escape(kind)}" cx="{_x(px):.1f}" cy="{_y(py):.1f}" r="3"/>'
            )

    def svg(self) -> str:
        """Return the plot; its text is escaped."""
        width, height = _LEFT + _SIDE + _RIGHT, _TOP + _SIDE + _BOTTOM
        middle = _LEFT + _SIDE / 2
        return "".join(
            [
                f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(self.title)}">',
                f'<text class="title" x="{middle}" y="15">{escape(self.title)}</text>',
                *_axes(),
                *self._drawn,
                f'<text class="label" x="{middle}" y="{height - 6}">{escape(self.x_label)}</text>',
                f'<text class="label" transform="translate(11 {_TOP + _SIDE / 2}) rotate(-90)">'
                f"{escape(self.y_label)}</text></svg>",
            ]
        )


def _axes() -> Iterable[str]:
    yield f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}"/>'
    for tick in _TICKS:
        yield f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _SIDE}" y1="{_y(tick)}" y2="{_y(tick)}"/>'
        yield f'<text class="tick y" x="{_LEFT - 5}" y="{_y(tick) + 3.5}">{tick:g}</text>'
        yield f'<text class="tick" x="{_x(tick)}" y="{_TOP + _SIDE + 14}">{tick:g}</text>'


def _finite(*arrays: ArrayLike) -> list[NDArray[np.float64]]:
    stacked = np.stack([np.asarray(array, np.float64) for array in arrays])
    return list(stacked[:, np.isfinite(stacked).all(axis=0)])


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    return " ".join(f"{_x(a):.1f},{_y(b):.1f}" for a, b in zip(x, y, strict=True))


def _x(value: float) -> float:
    return _LEFT + _SIDE * value


def _y(value: float) -> float:
    return _TOP + _SIDE * (1 - value)
