"""A QuPath project: its images, its class list, and who reads its objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

from her2qp.errors import ImageNotFoundError
from her2qp.qupath.classes import PathClass
from her2qp.qupath.classlist import CLASS_LIST, parse_class_list
from her2qp.qupath.imageentry import ImageEntry
from her2qp.qupath.jsonfile import read_bounded
from her2qp.qupath.projectfile import ProjectFile, find_project_file
from her2qp.qupath.store import NativeStore, Store, StoreName
from her2qp.qupath.transaction.disk import access_errors

__all__ = ["Backend", "ImageEntry", "Mode", "Project", "open_project"]

Mode = Literal["r", "r+"]
Backend = Literal["auto", "paquo", "native"]


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
    file = ProjectFile.read(find_project_file(Path(path)))
    return Project(file, mode, NativeStore(file.version))


class Project:
    """An open QuPath project. Use :func:`open_project` or :func:`~her2qp.qupath.newproject.create_project`."""

    def __init__(self, file: ProjectFile, mode: Mode, store: Store, backend_note: str | None = None) -> None:
        self.file = file
        self.mode: Mode = mode
        self.store = store
        self.backend_note = backend_note
        self._images = tuple(ImageEntry(self, image) for image in file.images)
        self._path_classes: tuple[PathClass, ...] | None = None

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Project {self.name!r} ({len(self.images)} images, mode {self.mode}, {self.backend})>"

    def __iter__(self) -> Iterator[ImageEntry]:
        return iter(self.images)

    def close(self) -> None:
        """Release what the project holds. Changes that were not saved are dropped."""
        self.store.close()

    @property
    def path(self) -> Path:
        """The ``.qpproj``."""
        return self.file.path

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.file.path.parent

    @property
    def name(self) -> str:
        """Name of the folder, or of the file where it has one of its own."""
        stem = self.path.stem
        return self.folder.resolve().name if stem == "project" else stem

    @property
    def qupath_version(self) -> str | None:
        """QuPath version that wrote the project."""
        return self.file.version

    @property
    def backend(self) -> StoreName:
        """Who reads and writes the objects."""
        return self.store.name

    @property
    def images(self) -> Sequence[ImageEntry]:
        """The images in project order."""
        return self._images

    def image(self, name_or_id: str | int) -> ImageEntry:
        """The image of that name or id.

        Raises
        ------
        ImageNotFoundError
            There is none, or several have the name.
        """
        found = [e for e in self.images if name_or_id == (e.id if isinstance(name_or_id, int) else e.name)]
        if len(found) != 1:
            what = "no image is" if not found else f"{len(found)} images are"
            raise ImageNotFoundError(f"{what} called {name_or_id!r}", where=self.path)
        return found[0]

    @property
    def path_classes(self) -> tuple[PathClass, ...]:
        """The project's class list.

        Raises
        ------
        ProjectFormatError
            ``classes.json`` is not a class list.
        """
        if self._path_classes is None:
            self._path_classes = parse_class_list(self._read_class_list(), where=self.folder / CLASS_LIST)
        return self._path_classes

    def _read_class_list(self) -> bytes | None:
        path = self.folder / CLASS_LIST
        try:
            with access_errors(path):
                return read_bounded(path)
        except FileNotFoundError:
            return None
