"""One image of a project."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from her2qp.errors import InvalidEditError, SlideNotFoundError, UnsupportedServerError
from her2qp.qupath.calibration import PixelCalibration
from her2qp.qupath.datafile import DataFile
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.hierarchy import Hierarchy
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import ImageType, ObjectType, PathObject, TileTable
from her2qp.qupath.projectfile import DEFAULT_VERSION, ProjectFile, entry_id_of, entry_metadata
from her2qp.qupath.serverbuilder import builder_size, nested_uri_builders
from her2qp.qupath.store import ImageSource
from her2qp.qupath.transaction.lock import ImageLock
from her2qp.qupath.transaction.run import Transaction
from her2qp.qupath.transaction.shared import MetadataChange, require_same_server
from her2qp.qupath.transaction.verify import Expectation
from her2qp.qupath.uris import candidate_paths, file_name, find_file, uri_name

if TYPE_CHECKING:
    from her2qp.qupath.project import Project
    from her2qp.slides.view import SlideView

_DETECTIONS = (ObjectType.DETECTION, ObjectType.TILE, ObjectType.CELL)


class ImageEntry:
    """An image of a project: what the ``.qpproj`` says about it, and the objects in its ``data.qpdata``.

    Objects are read when first asked for, so that one damaged image does not keep the others from being opened, and are
    let go when those of another image are asked for, so that a project may have thousands of images.
    Entries are made by :class:`~her2qp.qupath.project.Project`.
    """

    def __init__(self, project: Project, image: dict[str, Any]) -> None:
        self._project = project
        self._image = image
        self._metadata = entry_metadata(image)
        self._hierarchy: Hierarchy | None = None
        self._data = DataFile(project.folder / "data" / str(self.id) / "data.qpdata", self._empty_data)
        self._edits: list[HierarchyEdit] = []
        self._lock = ImageLock(project.folder, self.id)

    def __repr__(self) -> str:
        return f"<ImageEntry {self.id} {self.name!r}>"

    # --- what the .qpproj says ---

    @property
    def id(self) -> int:
        """Id of the entry, and the name of its folder under ``data``."""
        return entry_id_of(self._image)

    @property
    def name(self) -> str:
        """Name that QuPath shows."""
        name = self._image.get("imageName")
        return name if isinstance(name, str) and name else uri_name(self.uri or "") or f"image {self.id}"

    @property
    def file_stem(self) -> str:
        """Id and name as the beginning of the name of a file about the image."""
        return f"{self.id}-{file_name(self.name) or 'image'}"

    @property
    def description(self) -> str | None:
        """Free text that the user wrote about the image."""
        description = self._image.get("description")
        return description if isinstance(description, str) else None

    @property
    def metadata(self) -> Mapping[str, str]:
        """Key-value pairs by which QuPath's project browser sorts and filters.

        To be replaced as a whole in mode ``r+``; :meth:`save` merges the difference into the newest ``.qpproj``.
        """
        return MappingProxyType(self._metadata)

    @metadata.setter
    def metadata(self, metadata: Mapping[str, str]) -> None:
        self._project.require_writable()
        if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
            raise InvalidEditError("keys and values of metadata are text", where=f"image {self.name!r}")
        self._metadata = dict(metadata)

    @property
    def server_builder(self) -> dict[str, Any]:
        """JSON that says how QuPath opens the image; empty if there is none."""
        builder = self._image.get("serverBuilder")
        return builder if isinstance(builder, dict) else {}

    @property
    def server_problem(self) -> str | None:
        """Why her2qp cannot read the pixels behind the server builder; None if it can."""
        from her2qp.qupath.serverview import why_unsupported

        return why_unsupported(self._image.get("serverBuilder"))

    @property
    def view(self) -> SlideView:
        """What the image shows of its slide file.

        Raises
        ------
        UnsupportedServerError
            Its pixels cannot be placed on the slide file.
        """
        from her2qp.qupath.serverview import slide_view

        return slide_view(self._image.get("serverBuilder"))

    @property
    def uri(self) -> str | None:
        """URI of the slide as the project has it; of the first slide if the builder combines several."""
        return next((builder["uri"] for builder in nested_uri_builders(self.server_builder)), None)

    @property
    def slide_path(self) -> Path | None:
        """The slide file where it is now, None if it was not found or its pixels cannot be placed."""
        return None if self.server_problem or self.uri is None else find_file(self._places(self.uri))

    def require_slide(self) -> Path:
        """The slide file where it is now.

        Raises
        ------
        UnsupportedServerError
            The pixels of the image cannot be placed on a slide file.
        SlideNotFoundError
            The file is nowhere that the project points to.
        """
        if self.server_problem is not None:
            raise UnsupportedServerError(self.server_problem, where=f"image {self.name!r}")
        path = self.slide_path
        if path is None:
            tried = ", ".join(map(str, self._places(self.uri or ""))) or f"{self.uri} is not a local file"
            raise SlideNotFoundError(
                f"the slide file was not found ({tried})",
                where=f"image {self.name!r}",
                remedy="Put it there, or open the project in QuPath and let it look for the file.",
            )
        return path

    def _places(self, uri: str) -> list[Path]:
        return candidate_paths(uri, project_uri=self._project.file.uri, project_folder=self._project.folder)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels at full resolution, where the project knows them."""
        return builder_size(self._image.get("serverBuilder"))

    @property
    def pixel_calibration(self) -> PixelCalibration:
        """Pixel size as set in the project."""
        return PixelCalibration.from_metadata(self.server_builder.get("metadata"))

    # --- what data.qpdata says ---

    @property
    def data_file(self) -> Path:
        """Its ``data.qpdata``; absent for an image that was never saved."""
        return self._data.path

    @property
    def hierarchy(self) -> Hierarchy:
        """The objects of the image; empty for an image that was never saved.

        Raises
        ------
        CrashedSaveError
            QuPath did not finish saving the image and what is left cannot be read.
        DataFileError
            The file cannot be read to its end.
        """
        if self._hierarchy is None:
            self._project.keep_only(self)
            content = self._data.read(to_change=self._project.mode == "r+")
            self._hierarchy = self._project.store.read(self._source(), content)
        return self._hierarchy

    def release(self) -> None:
        """Let go of the objects that were read; they are read anew when asked for again."""
        self._hierarchy = None
        self._data.release()

    def _empty_data(self) -> QpData:
        version = self._project.qupath_version or DEFAULT_VERSION
        return QpData.create(self.server_builder, image_type=ImageType.UNSET, qupath_version=version)

    @property
    def image_type(self) -> ImageType:
        """Image type that the user set."""
        return self.hierarchy.image_type

    @property
    def annotations(self) -> Sequence[PathObject]:
        """All annotations, parents before children."""
        return self.hierarchy.annotations

    @property
    def tma_cores(self) -> Sequence[PathObject]:
        """All TMA cores, row by row."""
        return self.hierarchy.tma_cores

    @property
    def detections(self) -> Iterator[PathObject]:
        """Every detection: plain ones, cells and tiles."""
        return (obj for obj in self.hierarchy.objects() if obj.type in _DETECTIONS)

    @property
    def cells(self) -> Iterator[PathObject]:
        """Every cell."""
        return (obj for obj in self.hierarchy.objects() if obj.type is ObjectType.CELL)

    def tiles(self) -> TileTable:
        """All rectangular tile detections as arrays."""
        return self.hierarchy.tiles()

    def _source(self) -> ImageSource:
        return ImageSource(
            self._project.path,
            self._image,
            self.id,
            self.name,
            self.data_file,
            lambda uri: find_file(self._places(uri)),
        )

    # --- changing it ---

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to save."""
        return bool(self._edits) or self._metadata != entry_metadata(self._image)

    def edit(self, edit: HierarchyEdit) -> None:
        """Queue a change of the objects; several apply in order. Nothing changes before :meth:`save`.

        Raises
        ------
        InvalidEditError
            QuPath could not read the result back.
        ProjectAccessError
            The project is open in mode ``r``.
        """
        self._project.require_writable()
        if not edit.is_empty:
            self._edits.append(edit.check())

    def discard(self) -> None:
        """Drop the queued changes, for instance after a save that failed; the objects are read anew."""
        self._edits, self._metadata = [], entry_metadata(self._image)
        self.release()
        self._data.forget()

    def save(self) -> None:
        """Publish the queued changes of objects and metadata, all of them or none.

        Each file is written beside the old one, read back, and compared with what it should hold; when all are there,
        they take the old ones' places. Outside of :meth:`Project.transaction` the save is a run of its own.

        Raises
        ------
        CrashedSaveError
            QuPath did not finish saving the image.
        ProjectChangedError
            The image was changed by somebody else since it was read.
        ProjectLockedError
            Another process is writing to the project.
        ProjectAccessError
            The disk is full or the project cannot be written; nothing was changed.
        DataFileError
            The data file cannot be read to its end, or the new one is not what it should be.
        """
        self._project.require_writable()
        if not self.is_changed:
            return
        with self._project.running("save") as run, self._lock.hold(run.command):
            newest, before = self._project.newest_file()[0], entry_metadata(self._image)
            require_same_server(newest, self._image)
            with run.step():
                if self._edits:
                    self._publish_data(run)
                if self._metadata != before:
                    change = MetadataChange.of(self._image, self._metadata)
                    run.update(newest.path.name, change, check=ProjectFile.read)
            newest.merge_metadata(self.id, before, self._metadata)
            self._image = newest.image(self.id)
            self._metadata = entry_metadata(self._image)
            if self._edits:
                self._edits = []
                self._data.forget()

    @contextlib.contextmanager
    def claim(self, command: str, *, wait_s: float = 0.0) -> Iterator[None]:
        """Keep other runs of her2qp away from the image, from before it is read until its result is saved.

        What was read of it earlier is forgotten if it changed since, but for changes that are queued. `command` tells
        others who want the image what is being done; `wait_s` is how long to wait for one that works on it, in seconds.

        Raises
        ------
        ProjectLockedError
            Another run works on the image.
        ProjectChangedError
            The image is no longer in the project.
        """
        self._project.require_writable()
        with self._lock.hold(command, wait_s=wait_s):
            if not self.is_changed:
                self._refresh()
            yield

    def _refresh(self) -> None:
        self._image = self._project.newest_file()[0].image(self.id)
        self._metadata = entry_metadata(self._image)
        if not self._data.is_as_read:
            self.release()
            self._data.forget()

    def _publish_data(self, run: Transaction) -> None:
        content, present = self._data.take()
        content.check_loadable(self.server_builder, self._project.qupath_version)
        self.release()  # the edits change what was read
        store = self._project.store
        expectation = Expectation.of(content)
        for edit in self._edits:
            expectation = expectation.after(edit)
        run.publish(
            f"data/{self.id}/data.qpdata",
            expected=present,
            write=lambda path: store.write(self._source(), content, self._edits, path),
            check=lambda path: expectation.check(
                QpData.read(path, known=expectation.rows.runs), tolerance=store.geometry_tolerance
            ),
        )
