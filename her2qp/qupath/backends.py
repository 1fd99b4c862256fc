"""Which store an open project uses."""

from __future__ import annotations

from typing import Literal

from her2qp.qupath.store import NativeStore, Store, StoreName

Backend = Literal["auto", "paquo", "native"]


def choose_backend(backend: Backend, project_version: str | None) -> StoreName:
    """Name of the store that :func:`open_store` would take."""
    return "native"


def open_store(backend: Backend, project_version: str | None) -> tuple[Store, str | None]:
    """The store for a project."""
    return NativeStore(), None
