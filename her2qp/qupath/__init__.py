"""QuPath projects: what is in them, in Python values, through two stores with one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from her2qp.qupath.native.qpdata import QpData
    from her2qp.qupath.opening import create_project, open_project

__all__ = ["QpData", "create_project", "open_project"]

_HOMES = {
    "QpData": "her2qp.qupath.native.qpdata",
    "create_project": "her2qp.qupath.opening",
    "open_project": "her2qp.qupath.opening",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: NumPy and shapely take their time."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
