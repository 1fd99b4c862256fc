"""Arguments and options that several verbs share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Backend(StrEnum):
    """Whose code reads and writes the project."""

    AUTO = "auto"
    PAQUO = "paquo"
    NATIVE = "native"


ProjectArgument = Annotated[Path, typer.Argument(metavar="PROJECT", help="A .qpproj file or its folder.")]
ProjectsArgument = Annotated[list[Path], typer.Argument(metavar="PROJECT...", help=".qpproj files or their folders.")]
ImagesOption = Annotated[
    list[str] | None, typer.Option("--image", metavar="GLOB", help="Only images whose name matches; repeatable.")
]
ClassesOption = Annotated[
    list[str] | None,
    typer.Option("--class", metavar="NAME", help="Class to score, '' for unclassified. [default: Tumor]"),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="NAME", help="Class to cut out, beyond those ending in *, necrosis and artefact."
    ),
]
WholeTissueOption = Annotated[
    bool, typer.Option("--whole-tissue", help="Score all tissue of each slide, or with --tma of each core.")
]
MppOption = Annotated[float | None, typer.Option("--mpp", metavar="µm/px", help="Pixel size to use for every image.")]
BackendOption = Annotated[
    Backend, typer.Option("--backend", help="QuPath's own code (paquo), pure Python (native), or paquo where it can.")
]


def _seconds(value: float) -> float:
    if not value >= 0:  # NaN is not either
        raise typer.BadParameter("a number of seconds, 0 or more")
    return value


WaitOption = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        help="How long to wait for another run that works on an image.",
        callback=_seconds,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
