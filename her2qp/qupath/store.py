"""The seam between a project and what reads and writes its ``data.qpdata`` files.

Everything else (the ``.qpproj``, the class list, locking, backups, publishing) is the same for both stores.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from her2qp.errors import DataFileError
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.hierarchy import Hierarchy
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import ImageType

StoreName = Literal["native", "paquo"]


@dataclass(frozen=True, slots=True)
class ImageSource:
    """What a store needs to know of one image.

    Parameters
    ----------
    project_file
        The ``.qpproj``.
    image
        JSON of the image entry.
    entry_id
        Its id.
    name
        Its name, for messages.
    data_file
        Its ``data.qpdata``, which need not exist.
    slide_path
        The slide file where it was found.
    """

    project_file: Path
    image: dict[str, Any]
    entry_id: int
    name: str
    data_file: Path
    slide_path: Path | None


class Store(Protocol):
    """Reads the hierarchy of an image and writes an edited copy of its data file."""

    @property
    def name(self) -> StoreName:
        """Which store it is."""

    @property
    def geometry_tolerance(self) -> float:
        """How far, in pixels, a vertex may move when this store writes an object that it does not edit."""

    def read(self, source: ImageSource, data: bytes | None) -> Hierarchy:
        """Objects of an image; `data` holds the bytes of its data file, None where it has none.

        Raises
        ------
        DataFileError
            The file cannot be read to its end.
        """

    def write_edit(self, source: ImageSource, data: bytes | None, edit: HierarchyEdit, destination: Path) -> None:
        """Write a complete new data file with `edit` applied to `destination`; the old one is not touched.

        Raises
        ------
        DataFileError
            The old file cannot be read to its end.
        InvalidEditError
            The edit does not fit the image.
        """

    def close(self) -> None:
        """Release what the store holds."""


class NativeStore:
    """Pure Python: edits the object graph of the file and keeps everything that the edit does not touch."""

    name: StoreName = "native"
    geometry_tolerance = 0.0

    def __init__(self, qupath_version: str | None) -> None:
        self._qupath_version = qupath_version

    def read(self, source: ImageSource, data: bytes | None) -> QpData:
        """See :meth:`Store.read`."""
        return parse_data(source, data, self._qupath_version)

    def write_edit(self, source: ImageSource, data: bytes | None, edit: HierarchyEdit, destination: Path) -> None:
        """See :meth:`Store.write_edit`."""
        content = self.read(source, data)
        content.apply(edit)
        destination.write_bytes(content.to_bytes())

    def close(self) -> None:
        """Nothing is held."""


def parse_data(source: ImageSource, data: bytes | None, qupath_version: str | None) -> QpData:
    """Parse a data file to its end, or make the empty content of an image that has none.

    Raises
    ------
    DataFileError
        The bytes are not a complete ``data.qpdata``.
    """
    if data is None:
        server = source.image.get("serverBuilder") or {}
        return QpData.create(server, image_type=ImageType.UNSET, qupath_version=qupath_version or "0.5.1")
    try:
        return QpData.from_bytes(data)
    except DataFileError as error:
        if error.where is None:
            error.where = str(source.data_file)
        raise
