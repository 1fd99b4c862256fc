"""A forest plot: one row a result with its interval, as SVG that stands by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from her2qp.evaluation.intervals import Interval

_LEFT, _WIDTH, _RIGHT = 330, 300, 150
_ROW, _TOP, _BOTTOM = 22, 34, 34
_LOW, _HIGH = 0.3, 1.0
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.group{font-weight:bold}.figure{fill:#555}"
    ".grid{stroke:#ddd}.chance{stroke:#888;stroke-dasharray:4 3}"
    ".model{stroke:#1f5fa8;fill:#1f5fa8;stroke-width:2}.baseline{stroke:#999;fill:#999;stroke-width:2}"
)


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One result.

    Parameters
    ----------
    name
        Shown at the left.
    interval
        Estimate and ends, of a metric from 0 to 1.
    is_baseline
        Drawn in grey.
    """

    name: str
    interval: Interval
    is_baseline: bool = False


def forest_plot(groups: Sequence[tuple[str, Sequence[ForestRow]]], metric: str, chance: float = 0.5) -> str:
    """Draw results group by group.

    Parameters
    ----------
    groups
        Title and rows of each.
    metric
        Name of the axis, which goes from 0.3 to 1; what lies beyond is drawn at its end.
    chance
        Where the dashed line is.

    Returns
    -------
    str
        An SVG document; all text is escaped.
    """
    lines, y = [], _TOP
    for title, rows in groups:
        lines.append(f'<text class="group" x="8" y="{y + 15}">{escape(title)}</text>')
        y += _ROW
        for row in rows:
            lines.append(_drawn(row, y + _ROW / 2))
            y += _ROW
    width, height = _LEFT + _WIDTH + _RIGHT, y + _BOTTOM
    ticks = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    frame = [
        *(f'<line class="grid" x1="{_x(t)}" x2="{_x(t)}" y1="{_TOP}" y2="{y}"/>' for t in ticks),
        *(f'<text x="{_x(t)}" y="{y + 16}" text-anchor="middle">{t:g}</text>' for t in ticks),
        f'<line class="chance" x1="{_x(chance)}" x2="{_x(chance)}" y1="{_TOP}" y2="{y}"/>',
        f'<text class="group" x="{_LEFT + _WIDTH / 2}" y="20" text-anchor="middle">{escape(metric)}</text>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<style>{_STYLE}</style>"
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(frame)}{"".join(lines)}</svg>\n'
    )


def _drawn(row: ForestRow, y: float) -> str:
    kind, interval = "baseline" if row.is_baseline else "model", row.interval
    return (
        f'<text x="24" y="{y + 4}">{escape(row.name)}</text>'
        f'<line class="{kind}" x1="{_x(interval.low)}" x2="{_x(interval.high)}" y1="{y}" y2="{y}"/>'
        f'<circle class="{kind}" cx="{_x(interval.estimate)}" cy="{y}" r="4"/>'
        f'<text class="figure" x="{_LEFT + _WIDTH + 12}" y="{y + 4}">{escape(str(interval))}</text>'
    )


def _x(value: float) -> float:
    share = (min(max(value, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW)
    return round(_LEFT + _WIDTH * share, 1)
