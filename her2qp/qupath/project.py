"""A QuPath project: its images, its class list, and who reads and writes its objects."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from her2qp.errors import ImageNotFoundError, ProjectAccessError, ProjectChangedError
from her2qp.qupath.classes import PathClass
from her2qp.qupath.classlist import CLASS_LIST, parse_class_list
from her2qp.qupath.imageentry import ImageEntry
from her2qp.qupath.jsonfile import read_bounded, to_gson
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import ImageType
from her2qp.qupath.projectfile import DEFAULT_VERSION, ProjectFile
from her2qp.qupath.serverbuilder import new_uri_builder
from her2qp.qupath.store import Store, StoreName
from her2qp.qupath.transaction.disk import access_errors, digest, when_settled
from her2qp.qupath.transaction.lock import PATIENCE_S
from her2qp.qupath.transaction.run import Transaction
from her2qp.qupath.transaction.shared import ClassListChange

Mode = Literal["r", "r+"]
"""To read, which writes nothing at all; or to read and write."""


class Project:
    """An open QuPath project. Use :func:`her2qp.open_project` or :func:`her2qp.create_project`.

    Parameters
    ----------
    file
        The parsed ``.qpproj``.
    mode
        ``r`` or ``r+``.
    store
        Who reads and writes the objects.
    backend_note
        Why it is that store, where the user may wonder.
    """

    def __init__(self, file: ProjectFile, mode: Mode, store: Store, backend_note: str | None = None) -> None:
        self.file = file
        self.mode: Mode = mode
        self.store = store
        self.backend_note = backend_note
        self._images = [ImageEntry(self, image) for image in file.images]
        self._listed: tuple[PathClass, ...] | None = None
        self._path_classes: tuple[PathClass, ...] | None = None
        self._run: Transaction | None = None
        self._in_memory: ImageEntry | None = None

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Project {self.name!r} ({len(self.images)} images, mode {self.mode}, {self.backend})>"

    def close(self) -> None:
        """Release what the project holds. Changes that were not saved are dropped."""
        self.store.close()

    # --- reading ---

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
        return tuple(self._images)

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
            remedy = "Rename one of them in QuPath." if found else "`her2qp inspect` lists the images."
            raise ImageNotFoundError(f"{what} called {name_or_id!r}", where=self.path, remedy=remedy)
        return found[0]

    @property
    def path_classes(self) -> tuple[PathClass, ...]:
        """The project's class list. In mode ``r+`` it can be replaced; :meth:`save` merges the difference.

        Raises
        ------
        ProjectFormatError
            ``classes.json`` is not a class list.
        """
        if self._path_classes is None:
            self._listed = self._path_classes = parse_class_list(self._read_class_list(), where=self._class_list)
        return self._path_classes

    @path_classes.setter
    def path_classes(self, path_classes: Sequence[PathClass]) -> None:
        self.require_writable()
        if self._listed is None:
            self._listed = self.path_classes
        self._path_classes = tuple(path_class.check() for path_class in path_classes)

    @property
    def _class_list(self) -> Path:
        return self.folder / CLASS_LIST

    def _read_class_list(self) -> bytes | None:
        try:
            with access_errors(self._class_list):
                return read_bounded(self._class_list)
        except FileNotFoundError:
            return None

    def keep_only(self, entry: ImageEntry) -> None:
        """Let go of the objects of the image that was looked at before: those of one are in memory at a time."""
        if self._in_memory is not None and self._in_memory is not entry:
            self._in_memory.release()
        self._in_memory = entry

    def newest_file(self) -> tuple[ProjectFile, str]:
        """The ``.qpproj`` as it is on disk now, and its digest."""
        return when_settled(self._read_file)

    def _read_file(self) -> tuple[ProjectFile, str]:
        try:
            with access_errors(self.path):
                data = read_bounded(self.path)
        except FileNotFoundError as error:
            raise ProjectChangedError("the project file is gone", where=self.path) from error
        return ProjectFile.from_bytes(self.path, data), digest(data)

    # --- writing ---

    def require_writable(self) -> None:
        """Refuse a change in mode ``r``.

        Raises
        ------
        ProjectAccessError
            The project is open for reading only.
        """
        if self.mode != "r+":
            raise ProjectAccessError("opened for reading only", where=self.path, remedy="Open it in mode 'r+'.")

    @contextlib.contextmanager
    def transaction(self, run_id: str, command: str, *, wait_s: float = PATIENCE_S) -> Iterator[Transaction]:
        """Make several saves one run, which can be undone as a whole. Other runs may go on at the same time.

        Parameters
        ----------
        run_id
            Names the run: letters, digits, dots, hyphens and underscores.
        command
            What is being done, told to others who want a lock.
        wait_s
            How long to wait for another run that is putting a file in place, in seconds.

        Raises
        ------
        ProjectLockedError
            Another process keeps the project locked.
        ProjectAccessError
            The project cannot be written.
        """
        self.require_writable()
        with Transaction(self.folder, run_id, command, wait_s=wait_s) as run:
            self._run = run
            try:
                yield run
            finally:
                self._run = None

    @contextlib.contextmanager
    def running(self, command: str) -> Iterator[Transaction]:
        """The transaction that is open, or a new one of its own."""
        if self._run is not None:
            yield self._run
            return
        run_id = f"{command.replace(' ', '-')}-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}"
        with self.transaction(run_id, command) as run:
            yield run

    @contextlib.contextmanager
    def together(self) -> Iterator[Transaction]:
        """Let everything that is saved inside appear in the project together or, if anything fails, not at all.

        The caller has claimed the images that it saves.

        Raises
        ------
        ProjectError
            As for :meth:`ImageEntry.save`.
        """
        with self.running("save") as run, run.step():
            yield run

    def save(self) -> None:
        """Publish the class list and the queued changes of every image; errors as for :meth:`ImageEntry.save`."""
        self.require_writable()
        changed = [image for image in self.images if image.is_changed]
        if not changed and self._class_list_change is None:
            return
        with self.running("save") as run, run.step():
            self._save_class_list(run)
            for image in changed:
                image.save()

    def _save_class_list(self, run: Transaction) -> None:
        change = self._class_list_change
        if change is not None:
            run.update(CLASS_LIST, change)
            self._listed = self._path_classes = None

    @property
    def _class_list_change(self) -> ClassListChange | None:
        change = ClassListChange(self._listed or (), self._path_classes or ())
        return None if change.is_empty else change

    def add_image(
        self,
        slide_path: str | Path,
        *,
        name: str | None = None,
        size: tuple[int, int] | None = None,
        mpp: tuple[float, float] | None = None,
        levels: Sequence[tuple[int, int]] = (),
        magnification: float | None = None,
        tile_size: tuple[int, int] = (256, 256),
        image_type: ImageType = ImageType.UNSET,
        description: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ImageEntry:
        """Add a brightfield RGB slide to the project, at once.

        Parameters
        ----------
        slide_path
            The slide file, which QuPath will open with OpenSlide.
        name
            Name of the image; by default that of the file.
        size
            Width and height at full resolution in pixels. Without it the project knows nothing about the image but
            its file, and `mpp`, `levels` and `magnification` count for nothing.
        mpp
            Pixel width and height in µm.
        levels
            Width and height of every pyramid level of the file, full resolution first.
        magnification
            Of the objective.
        tile_size
            Width and height of the tiles in the file.
        image_type
            Image type; with ``UNSET`` QuPath asks when the image is first opened.
        description, metadata
            As shown in QuPath's project browser.

        Raises
        ------
        ProjectError
            As for :meth:`ImageEntry.save`.
        """
        self.require_writable()
        slide_path = Path(slide_path)
        name = name or slide_path.name
        builder = new_uri_builder(
            slide_path,
            name=name,
            size=size,
            mpp=mpp,
            levels=levels,
            magnification=magnification,
            tile_size=tile_size,
        )
        return self._add_entry(builder, name, image_type, description, metadata or {})

    def _add_entry(
        self,
        builder: dict[str, Any],
        name: str,
        image_type: ImageType,
        description: str | None,
        metadata: Mapping[str, str],
    ) -> ImageEntry:
        """Publish the files of a new image together with the project that names it."""
        with self.running("add image") as run, run.exclusive(), run.step():
            newest, present = self.newest_file()
            entry_id = newest.add_image(builder, name=name, description=description, metadata=metadata)
            folder = f"data/{entry_id}"
            run.publish(f"{folder}/server.json", expected="absent", write=lambda p: p.write_bytes(to_gson(builder)))
            if image_type is not ImageType.UNSET:
                version = newest.version or DEFAULT_VERSION
                data = QpData.create(builder, image_type=image_type, qupath_version=version).to_bytes()
                run.publish(
                    f"{folder}/data.qpdata", expected="absent", write=lambda p: p.write_bytes(data), check=QpData.read
                )
            content = newest.to_bytes()
            run.publish(
                self.path.name, expected=present, write=lambda p: p.write_bytes(content), check=ProjectFile.read
            )
        self.file = newest
        entry = ImageEntry(self, newest.image(entry_id))
        self._images.append(entry)
        return entry
