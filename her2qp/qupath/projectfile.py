"""The ``.qpproj`` file: its JSON as it is, with typed access to what her2qp needs and everything else kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from her2qp.errors import ProjectChangedError, ProjectFormatError, ProjectNotFoundError
from her2qp.qupath.jsonfile import parse_json, read_bounded, to_gson
from her2qp.qupath.uris import file_uri
from her2qp.qupath.version import check_known

DEFAULT_VERSION = "0.5.1"
"""Version that new files name as their writer: every QuPath from 0.3 to 0.7 reads them."""

_UNREADABLE_VERSIONS = ("v0.2.0-m1", "v0.2.0-m2")
_MAX_ENTRY_ID = 2**63 - 1


def find_project(path: Path) -> Path:
    """The ``.qpproj`` that a user means by it or by its folder.

    Raises
    ------
    ProjectNotFoundError
        There is no such file or folder, it is another file, or the folder has no project or more than one.
    """
    if path.is_file():
        if path.suffix.lower() != ".qpproj":
            raise ProjectNotFoundError("not a QuPath project (.qpproj)", where=path, remedy="Name one, or its folder.")
        return path.resolve() if path.is_symlink() else path  # the data lie beside the file, not beside a link to it
    if not path.is_dir():
        raise ProjectNotFoundError("no such file or folder", where=path)
    found = sorted(p for p in path.glob("*.qpproj") if p.is_file())
    if not found:
        raise ProjectNotFoundError("no QuPath project (.qpproj) in this folder", where=path)
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise ProjectNotFoundError(f"several QuPath projects in this folder: {names}", where=path, remedy="Name one.")
    return found[0]


class ProjectFile:
    """A parsed ``.qpproj``.

    Parameters
    ----------
    path
        Where it is.
    document
        Its JSON, complete and in order.
    """

    def __init__(self, path: Path, document: dict[str, Any]) -> None:
        self.path = path
        self.document = document
        self._check()

    @classmethod
    def read(cls, path: Path) -> ProjectFile:
        """Read and check a ``.qpproj``.

        Raises
        ------
        ProjectFormatError
            It is not one that QuPath could open.
        ProjectNotFoundError
            It cannot be read.
        """
        try:
            data = read_bounded(path)
        except OSError as error:
            raise ProjectNotFoundError(f"cannot be read ({error.strerror})", where=path) from error
        return cls.from_bytes(path, data)

    @classmethod
    def from_bytes(cls, path: Path, data: bytes) -> ProjectFile:
        """Parse the bytes of a ``.qpproj``; errors as for :meth:`read`."""
        document = parse_json(data, where=path)
        if not isinstance(document, dict) or not ("version" in document or "lastID" in document):
            raise ProjectFormatError("JSON, but not a QuPath project", where=path)
        return cls(path, document)

    @classmethod
    def create(cls, path: Path, qupath_version: str) -> ProjectFile:
        """An empty project as the given QuPath version would write it."""
        now = time.time_ns() // 1_000_000
        document = {
            "version": qupath_version,
            "createTimestamp": now,
            "modifyTimestamp": now,
            "uri": file_uri(path),
            "lastID": 0,
            "images": [],
        }
        return cls(path, document)

    def to_bytes(self) -> bytes:
        """The file's bytes: the same as read where nothing was changed and QuPath wrote it."""
        return to_gson(self.document)

    def _check(self) -> None:
        if self.document.get("version") in _UNREADABLE_VERSIONS:
            raise ProjectFormatError("written by a preview of QuPath 0.2 that no later one can read", where=self.path)
        if isinstance(self.document.get("version"), str | int | float):
            check_known(str(self.document["version"]), where=self.path)
        images = self.document.get("images")
        if images is None:
            images = self.document["images"] = []
        if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
            raise ProjectFormatError("its list of images is not one of QuPath", where=self.path)
        last_id = self.document.get("lastID", 0)
        if not _is_id(last_id):
            raise ProjectFormatError(f"the last id that it gave is {last_id!r:.60}, not a number", where=self.path)
        for position, image in enumerate(images):
            entry_id = image.get("entryID", 0)
            if not _is_id(entry_id):
                what = f"image {position + 1} has the id {entry_id!r:.60}, not a number"
                raise ProjectFormatError(what, where=self.path)

    @property
    def version(self) -> str | None:
        """QuPath version that wrote the file, for information."""
        version = self.document.get("version")
        return version if isinstance(version, str) else None

    @property
    def uri(self) -> str | None:
        """URI of the file when it was written: another one than now for a moved project."""
        uri = self.document.get("uri")
        return uri if isinstance(uri, str) else None

    @property
    def images(self) -> list[dict[str, Any]]:
        """JSON of every image entry, in project order."""
        images: list[dict[str, Any]] = self.document["images"]
        return images

    def image(self, entry_id: int) -> dict[str, Any]:
        """JSON of the one entry with that id.

        Raises
        ------
        ProjectChangedError
            There is none any more, or more than one.
        """
        found = [image for image in self.images if entry_id_of(image) == entry_id]
        if len(found) != 1:
            what = "is no longer in the project" if not found else "is not the only one with its id"
            raise ProjectChangedError(f"image {entry_id} {what}", where=self.path)
        return found[0]

    def shared_ids(self) -> set[int]:
        """Ids that more than one image has: two writers once added images at the same time."""
        return {entry_id for entry_id, n in Counter(map(entry_id_of, self.images)).items() if n > 1}

    def add_image(
        self, server_builder: dict[str, Any], *, name: str, description: str | None, metadata: Mapping[str, str]
    ) -> int:
        """Append an entry and return its new id."""
        last_id: int = self.document.get("lastID", 0)
        entry_id = max(last_id, *map(entry_id_of, self.images), 0) + 1
        image: dict[str, Any] = {
            "serverBuilder": server_builder,
            "entryID": entry_id,
            "randomizedName": str(uuid4()),
            "imageName": name,
        }
        if description is not None:
            image["description"] = description
        image["metadata"] = dict(metadata)
        self.images.append(image)
        self.document["lastID"] = entry_id
        return entry_id

    def merge_metadata(self, entry_id: int, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Apply to an entry the change that leads from `before` to `after`, leaving other keys alone.

        Raises
        ------
        ProjectChangedError
            The entry is gone.
        ProjectFormatError
            It has something else in the place of its metadata.
        """
        image = self.image(entry_id)
        if not isinstance(image.get("metadata"), dict | None):
            raise ProjectFormatError(f"the metadata of image {entry_id} is not what QuPath writes", where=self.path)
        metadata = dict(image.get("metadata") or {})
        for key in before.keys() - after.keys():
            metadata.pop(key, None)
        metadata.update({key: value for key, value in after.items() if before.get(key) != value})
        image["metadata"] = metadata


def _is_id(value: object) -> bool:
    """Whether a value can be the id of an entry, with room for the next one."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_ENTRY_ID


def entry_id_of(image: Mapping[str, Any]) -> int:
    """Id of an entry; like QuPath, 0 where it has none."""
    entry_id: int = image.get("entryID", 0)
    return entry_id


def entry_metadata(image: Mapping[str, Any]) -> dict[str, str]:
    """Metadata of an entry: empty where there is none, values as text."""
    metadata = image.get("metadata")
    if not isinstance(metadata, Mapping):
        return {}
    return {key: value if isinstance(value, str) else str(value) for key, value in metadata.items()}
