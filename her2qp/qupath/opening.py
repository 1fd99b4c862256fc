"""Open a QuPath project, or make one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from her2qp.errors import ProjectAccessError
from her2qp.qupath.backends import Backend, open_store
from her2qp.qupath.classes import PathClass
from her2qp.qupath.classlist import CLASS_LIST, DEFAULT_CLASSES, merge_class_list
from her2qp.qupath.project import Mode, Project
from her2qp.qupath.projectfile import DEFAULT_VERSION, ProjectFile, find_project
from her2qp.qupath.transaction.disk import access_errors, write_atomically


def open_project(path: str | Path, mode: Mode = "r", backend: Backend = "auto") -> Project:
    """Open a QuPath project.

    Parameters
    ----------
    path
        The ``.qpproj`` or its folder.
    mode
        ``r`` to read, which writes nothing at all; ``r+`` to read and write.
    backend
        ``native`` reads and writes in pure Python, ``paquo`` through an installed QuPath; ``auto`` takes paquo where
        a QuPath is found that is not older than the project, else native.

    Raises
    ------
    ProjectNotFoundError
        There is no project.
    ProjectFormatError
        It is not one that QuPath could open.
    QuPathNotFoundError
        `backend` is ``paquo`` and there is no QuPath.

    Examples
    --------
    >>> with open_project("study/project.qpproj") as project:  # doctest: +SKIP
    ...     for image in project.images:
    ...         print(image.name, len(image.annotations))
    """
    if mode not in ("r", "r+"):
        raise ValueError(f"mode must be 'r' or 'r+', not {mode!r}")
    file = ProjectFile.read(find_project(Path(path)))
    store, note = open_store(backend, file.version)
    return Project(file, mode, store, note)


def create_project(
    folder: str | Path,
    *,
    qupath_version: str = DEFAULT_VERSION,
    path_classes: Sequence[PathClass] = DEFAULT_CLASSES,
    backend: Backend = "native",
) -> Project:
    """Make a new, empty project that QuPath 0.3 to 0.7 opens, and open it in mode ``r+``.

    Parameters
    ----------
    folder
        The project's folder, made if it is not there.
    qupath_version
        Version that the project names as its writer.
    path_classes
        The class list; by default what QuPath lists in a new project.
    backend
        As for :func:`open_project`.

    Raises
    ------
    ProjectAccessError
        The folder holds a project already, or cannot be written.
    """
    path = Path(folder) / "project.qpproj"
    if any(path.parent.glob("*.qpproj")):
        raise ProjectAccessError("there is a QuPath project in this folder already", where=path.parent)
    file, class_list = ProjectFile.create(path, qupath_version), path.parent / CLASS_LIST
    classes = merge_class_list(None, (), path_classes, where=class_list)
    with access_errors(path.parent):
        class_list.parent.mkdir(parents=True, exist_ok=True)
        if classes is not None:
            write_atomically(class_list, lambda temporary: temporary.write_bytes(classes))
        write_atomically(path, lambda temporary: temporary.write_bytes(file.to_bytes()))
    return open_project(path, "r+", backend)
