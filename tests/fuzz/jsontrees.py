"""Changes to the tree of a JSON document, so that what comes out is still JSON and gets past the parser."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

_NESTED: Any = 0
for _ in range(60):
    _NESTED = [_NESTED]

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**31, 2**63, -(2**63) - 1, 10**40, 10**400, 0.5, 1e-310, 1e308, float("inf"),
    float("nan"), "", " ", "NaN", "a:b", ":", "x" * 10_000, "\ud800", "\x00", "../../x", "/etc/passwd",
    "file:/../../x", "file://[", "http://x/y", "C:\\x", "ä/ö", [], {}, [[]], [{}], [None], {"": None},
    {"builderType": "flipped"},
    _NESTED,
)  # fmt: skip
"""Values that a reader does not expect, or not there."""

Path = tuple[str | int, ...]


def mutate_tree(random: Random, document: Any, others: list[Any]) -> Any:
    """A copy of a document with one to three changes.

    Parameters
    ----------
    random
        Decides on everything.
    document
        A JSON value.
    others
        Documents that subtrees are taken from.
    """
    tree = {"document": json.loads(json.dumps(document))}
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        path = random.choice(list(paths(tree))[1:] or [("document",)])
        parent = _at(tree, path[:-1])
        if isinstance(parent, dict | list):
            random.choice(_CHANGES)(random, parent, path[-1], others)
        tree.setdefault("document", None)
    return tree["document"]


def paths(value: Any, at: Path = ()) -> list[Path]:
    """Every place in a document, outermost first."""
    found, waiting = [], [(at, value)]
    while waiting:
        path, node = waiting.pop()
        found.append(path)
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        waiting.extend((((*path, key), child)) for key, child in items)
    return found


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _replace(random: Random, parent: Any, key: Any, others: list[Any]) -> None:
    parent[key] = copy.deepcopy(random.choice(HOSTILE))


def _delete(random: Random, parent: Any, key: Any, others: list[Any]) -> None:
    del parent[key]


def _repeat(random: Random, parent: Any, key: Any, others: list[Any]) -> None:
    if isinstance(parent, list):
        parent.extend([parent[key]] * random.choice((1, 3, 100)))
    else:
        parent[f"{key}{random.choice('sX_ ')}"] = parent[key]


def _transplant(random: Random, parent: Any, key: Any, others: list[Any]) -> None:
    donor = random.choice(others)
    parent[key] = json.loads(json.dumps(_at(donor, random.choice(list(paths(donor))))))


def _wrap(random: Random, parent: Any, key: Any, others: list[Any]) -> None:
    parent[key] = random.choice(([parent[key]], {str(key): parent[key]}, [parent[key]] * 2))


_CHANGES: tuple[Callable[[Random, Any, Any, list[Any]], None], ...] = (
    _replace,
    _replace,
    _replace,
    _delete,
    _repeat,
    _transplant,
    _wrap,
)
