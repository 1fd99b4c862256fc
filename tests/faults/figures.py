"""What became of all interruptions, counted."""

# ruff: noqa: T201

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faults.harness import Point


def summarise(points: Sequence[Point]) -> dict[str, Any]:
    """Figures of all points."""
    groups: dict[str, Any] = {}
    for point in points:
        name = f"{point.store} {point.verb} {'kill' if point.fault == 'kill' else 'error'}"
        group = groups.setdefault(name, {"points": 0, "ended": Counter(), "found": Counter(), "problems": 0})
        group["points"] += 1
        group["ended"][point.ended] += 1
        group["found"][point.found] += 1
        group["problems"] += bool(point.problems)
    return groups


def print_table(groups: dict[str, Any]) -> None:
    columns = ("old", "new", "between", "mixed", "lost", "unreadable")
    print(f"{'':<28}{'points':>8}" + "".join(f"{column:>11}" for column in (*columns, "problems")))
    for name, group in groups.items():
        counts = "".join(f"{group['found'].get(column, 0):>11}" for column in columns)
        print(f"{name:<28}{group['points']:>8}{counts}{group['problems']:>11}")
