"""One image of a project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from her2qp.errors import CrashedSaveError, SlideNotFoundError, UnsupportedServerError
from her2qp.qupath.calibration import PixelCalibration
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.hierarchy import Hierarchy
from her2qp.qupath.objects import ImageType, ObjectType, PathObject, TileTable
from her2qp.qupath.projectfile import entry_id_of, entry_metadata
from her2qp.qupath.serverbuilder import builder_size, nested_uri_builders, why_unsupported
from her2qp.qupath.store import ImageSource
from her2qp.qupath.transaction.disk import access_errors, digest
from her2qp.qupath.uris import candidate_paths, find_file, uri_name

if TYPE_CHECKING:
    from her2qp.qupath.project import Project

_DETECTIONS = (ObjectType.DETECTION, ObjectType.TILE, ObjectType.CELL)


class ImageEntry:
    """An image of a project: what the ``.qpproj`` says about it, and the objects in its ``data.qpdata``.

    Objects are read when first asked for, so that one damaged image does not keep the others from being opened.
    Entries are made by :class:`~her2qp.qupath.project.Project`.
    """

    def __init__(self, project: Project, image: dict[str, Any]) -> None:
        self._project = project
        self._image = image
        self._metadata = entry_metadata(image)
        self._hierarchy: Hierarchy | None = None
        self._seen: str | None = None
        self._edits: list[HierarchyEdit] = []

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
    def description(self) -> str | None:
        """Free text that the user wrote about the image."""
        description = self._image.get("description")
        return description if isinstance(description, str) else None

    @property
    def metadata(self) -> Mapping[str, str]:
        """Key-value pairs by which QuPath's project browser sorts and filters.

        A dict in mode ``r+``, whose changes :meth:`save` merges into the newest ``.qpproj``; read-only in mode ``r``.
        """
        return self._metadata if self._project.mode == "r+" else MappingProxyType(self._metadata)

    @property
    def server_builder(self) -> dict[str, Any]:
        """JSON that says how QuPath opens the image; empty if there is none."""
        builder = self._image.get("serverBuilder")
        return builder if isinstance(builder, dict) else {}

    @property
    def server_problem(self) -> str | None:
        """Why her2qp cannot read the pixels behind the server builder; None if it can."""
        return why_unsupported(self._image.get("serverBuilder"))

    @property
    def uri(self) -> str | None:
        """URI of the slide as the project has it; of the first slide if the builder combines several."""
        return next((builder["uri"] for builder in nested_uri_builders(self.server_builder)), None)

    @property
    def slide_path(self) -> Path | None:
        """The slide file where it is now, None if it was not found or the builder is not a plain one."""
        return None if self.server_problem else find_file(self._slide_places())

    def require_slide(self) -> Path:
        """The slide file where it is now.

        Raises
        ------
        UnsupportedServerError
            The image is not shown through a plain server builder.
        SlideNotFoundError
            The file is nowhere that the project points to.
        """
        if self.server_problem is not None:
            raise UnsupportedServerError(self.server_problem, where=f"image {self.name!r}")
        path = self.slide_path
        if path is None:
            places = self._slide_places()
            tried = ", ".join(map(str, places)) if places else f"{self.uri} is not a local file"
            raise SlideNotFoundError(
                f"the slide file was not found ({tried})",
                where=f"image {self.name!r}",
                remedy="Put it there, or open the project in QuPath and let it look for the file.",
            )
        return path

    def _slide_places(self) -> list[Path]:
        if self.uri is None:
            return []
        file = self._project.file
        return candidate_paths(self.uri, project_uri=file.uri, project_folder=self._project.folder)

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
        return self._project.folder / "data" / str(self.id) / "data.qpdata"

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
            data = read_data(self.data_file)
            self._hierarchy = self._project.store.read(self.source(), data)
            if self._project.mode == "r+":
                self._seen = digest(data)
        return self._hierarchy

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

    def source(self) -> ImageSource:
        """What a store needs to know of this image."""
        return ImageSource(
            self._project.path, self._image, self.id, self.name, self.data_file, find_file(self._slide_places())
        )


def read_data(data_file: Path) -> bytes | None:
    """Bytes of a data file, None where the image has none.

    Raises
    ------
    CrashedSaveError
        There is none, but the backup of a save that QuPath did not finish.
    ProjectAccessError
        The file cannot be read.
    """
    try:
        with access_errors(data_file):
            return data_file.read_bytes()
    except FileNotFoundError:
        pass
    raise_if_crashed(data_file)
    return None


def raise_if_crashed(data_file: Path) -> None:
    """Refuse an image that QuPath was saving when it died.

    Raises
    ------
    CrashedSaveError
        There is a ``data.qpdata.bkp``.
    """
    backup = data_file.with_name(data_file.name + ".bkp")
    if backup.exists():
        raise CrashedSaveError(
            "QuPath did not finish saving this image",
            where=backup,
            remedy="Open the image in QuPath and save it, or rename this file to data.qpdata if that one is damaged.",
        )
