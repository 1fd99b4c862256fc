"""Where in a project her2qp writes: in a folder of its own, and never through a link that leads out of the project."""

from __future__ import annotations

from pathlib import Path

from her2qp.errors import ProjectAccessError

PRIVATE_FOLDER = "her2qp"
"""Folder inside the project that holds locks, backups and run records; QuPath passes it over."""


def private_folder(project_folder: Path, *names: str) -> Path:
    """Where her2qp keeps its own files in a project, or what is called so within it.

    Raises
    ------
    ProjectAccessError
        It is a link that leads out of the project.
    """
    return inside(project_folder, "/".join((PRIVATE_FOLDER, *names)))


def inside(project_folder: Path, relative: str) -> Path:
    """Path inside a project, sure not to lead out of it when written.

    Raises
    ------
    ProjectAccessError
        A link on the way leads out of the project folder.
    """
    path = project_folder / relative
    if not path.resolve().is_relative_to(project_folder.resolve()):
        raise ProjectAccessError(
            "leads out of the project folder, so nothing is written there",
            where=path,
            remedy="Replace the link by a copy of what it points to.",
        )
    return path
