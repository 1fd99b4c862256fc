"""Score the annotated tumour regions of QuPath projects for HER2 and write the result back.

Every verb of the command line is a function here. Importing her2qp loads neither PyTorch nor a Java virtual machine;
both come when they are first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from her2qp.api import (
        clear,
        demo,
        doctor,
        export_objects,
        fill_features,
        import_objects,
        inspect,
        make_cohort,
        score,
        undo,
    )
    from her2qp.qupath.opening import create_project, open_project

_HOMES = {
    "her2qp.api": (
        "clear",
        "demo",
        "doctor",
        "export_objects",
        "fill_features",
        "import_objects",
        "inspect",
        "make_cohort",
        "score",
        "undo",
    ),
    "her2qp.qupath.opening": ("create_project", "open_project"),
}

__all__ = [
    "clear",
    "create_project",
    "demo",
    "doctor",
    "export_objects",
    "fill_features",
    "import_objects",
    "inspect",
    "make_cohort",
    "open_project",
    "score",
    "undo",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
