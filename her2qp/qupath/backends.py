"""Which store an open project uses: QuPath's own code where a QuPath is found, else pure Python."""

from __future__ import annotations

from typing import Literal

from her2qp.errors import QuPathNotFoundError
from her2qp.qupath.paquo.installation import find_installation
from her2qp.qupath.store import NativeStore, Store, StoreName

Backend = Literal["auto", "paquo", "native"]


def choose_backend(backend: Backend, project_version: str | None) -> StoreName:
    """Name of the store that :func:`open_store` would take; errors as there."""
    return _choose(backend, project_version)[0]


def open_store(backend: Backend, project_version: str | None) -> tuple[Store, str | None]:
    """The store for a project, and why it is that one where the user may wonder.

    Neither looks at the project nor starts Java: that happens when the first object is asked for.

    Raises
    ------
    QuPathNotFoundError
        `backend` is ``paquo`` and there is no QuPath that can be used.
    """
    name, note = _choose(backend, project_version)
    if name == "native":
        return NativeStore(), note
    from her2qp.qupath.paquo.store import PaquoStore

    return PaquoStore(), note


def _choose(backend: Backend, project_version: str | None) -> tuple[StoreName, str | None]:
    if backend not in ("auto", "paquo", "native"):
        raise ValueError(f"backend must be 'auto', 'paquo' or 'native', not {backend!r}")
    if backend == "native":
        return "native", None
    try:
        found = find_installation()
        if not found.is_supported:
            raise QuPathNotFoundError(f"QuPath {found.version} is too old to be run", where=found.app_folder)
    except QuPathNotFoundError as error:
        if backend == "paquo":
            raise
        return "native", str(error) if error.where else None
    if backend == "auto" and found.is_older_than(project_version):
        return "native", f"QuPath {found.version} was found, but QuPath {project_version} wrote the project"
    return "paquo", None
