"""The seam between a project and what reads and writes its ``data.qpdata`` files.

Everything else (the ``.qpproj``, the class list, locking, backups, publishing) is the same for both stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.hierarchy import Hierarchy
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.serverbuilder import nested_uri_builders

StoreName = Literal["native", "paquo"]


@dataclass(frozen=True)
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
    find_slide
        Finds the file of a URI; None if it is nowhere.
    """

    project_file: Path
    image: dict[str, Any]
    entry_id: int
    name: str
    data_file: Path
    find_slide: Callable[[str], Path | None]

    @cached_property
    def slides(self) -> Mapping[str, Path]:
        """Where the files of its slides were found, by the URIs in `image`."""
        found = {builder["uri"]: self.find_slide(builder["uri"]) for builder in self._builders}
        return {uri: path for uri, path in found.items() if path is not None}

    @property
    def missing_slides(self) -> tuple[str, ...]:
        """URIs whose files were not found."""
        return tuple(dict.fromkeys(b["uri"] for b in self._builders if b["uri"] not in self.slides))

    @property
    def _builders(self) -> Iterator[dict[str, Any]]:
        return nested_uri_builders(self.image.get("serverBuilder"))


class Store(Protocol):
    """Reads the hierarchy of an image and writes an edited copy of its data file."""

    @property
    def name(self) -> StoreName:
        """Which store it is."""

    @property
    def geometry_tolerance(self) -> float:
        """How far, in pixels, a vertex may move when this store writes an object that it does not edit."""

    def read(self, source: ImageSource, content: QpData) -> Hierarchy:
        """Objects of an image, whose data file was parsed to its end as `content`."""

    def write(self, source: ImageSource, content: QpData, edits: Sequence[HierarchyEdit], destination: Path) -> None:
        """Write a complete new data file, with `edits` applied in order, to `destination`.

        The old file is not touched; `content`, which is what it holds, may be.

        Raises
        ------
        InvalidEditError
            An edit does not fit the image.
        """

    def close(self) -> None:
        """Release what the store holds."""


class NativeStore:
    """Pure Python: edits the object graph of the file and keeps everything that the edits do not touch."""

    name: StoreName = "native"
    geometry_tolerance = 0.0

    def read(self, source: ImageSource, content: QpData) -> Hierarchy:
        """See :meth:`Store.read`."""
        return content

    def write(self, source: ImageSource, content: QpData, edits: Sequence[HierarchyEdit], destination: Path) -> None:
        """See :meth:`Store.write`."""
        for edit in edits:
            content.apply(edit)
        content.write(destination)

    def close(self) -> None:
        """Nothing is held."""
