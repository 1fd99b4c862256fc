"""The top level of a ``data.qpdata`` file: what QuPath writes one after the other."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from her2qp.errors import DataFileError, UnsupportedDataError
from her2qp.qupath.java import (
    ClassDesc,
    EnumConstant,
    Instance,
    Item,
    JavaString,
    KnownClasses,
    KnownRun,
    Stream,
    read_stream,
    stream_pieces,
    write_stream,
)
from her2qp.qupath.native import schema
from her2qp.qupath.native.containers import new_hash_map
from her2qp.qupath.native.index import Index, read_index
from her2qp.qupath.native.path_objects import make_metadata
from her2qp.qupath.native.values import Memo
from her2qp.qupath.native.vocabulary import Vocabulary
from her2qp.qupath.objects import ImageType
from her2qp.qupath.semantics import check_image_type

HEADER = "Data file version 3"
VERSION = 3
"""Version of the format that QuPath 0.3 to 0.7 write."""

END = "EOF"

_CLASSES = KnownClasses()
"""The classes of all files that this process reads: nothing here changes one."""

_LEGACY_PATH = "Image path:"


class Document:
    """A parsed file.

    Parameters
    ----------
    stream
        Its objects.
    where
        What to call it in errors.

    Raises
    ------
    DataFileError
        It is not a complete data file of QuPath.
    UnsupportedDataError
        It is of a newer format.
    """

    def __init__(self, stream: Stream, *, where: object = None) -> None:
        self.contents = stream.contents
        self.classes: list[ClassDesc] = stream.classes
        self.where = where
        _check_header(self.contents, where)
        last = self.contents[-1]
        if not isinstance(last, JavaString) or last.text != END:
            raise DataFileError("is incomplete: it does not end with its end mark", where=where)
        schema.check_classes(self.classes, where=where)
        self.metadata = _read_metadata(self.contents, where)
        self.hierarchy = self._find_hierarchy()
        root = self.hierarchy.get("rootObject")
        if not isinstance(root, Instance) or root.class_name != schema.ROOT:
            raise DataFileError("has a hierarchy without a root", where=where)
        self.root = root

    @classmethod
    def from_bytes(cls, data: bytes, *, where: object = None, known: Iterable[KnownRun] = ()) -> Document:
        """Parse a file's bytes; `known` are runs that it is likely to have."""
        return cls(read_stream(data, where=where, known=known, classes=_CLASSES), where=where)

    def to_bytes(self) -> bytes:
        """Serialize; an unchanged document gives the bytes that it was read from."""
        return write_stream(self.contents)

    def write(self, path: Path) -> None:
        """Serialize to a file, without a copy of it in memory."""
        with path.open("wb") as file:
            file.writelines(stream_pieces(self.contents))

    def _find_hierarchy(self) -> Instance:
        found = [i for i in self.contents if isinstance(i, Instance) and i.class_name == schema.HIERARCHY]
        if len(found) != 1:
            raise DataFileError(f"has {len(found) or 'no'} object hierarchies instead of one", where=self.where)
        return found[0]

    @property
    def others(self) -> list[Item]:
        """Everything at the top level but the hierarchy."""
        return [item for item in self.contents if item is not self.hierarchy]

    @cached_property
    def index(self) -> Index:
        """All objects of the hierarchy."""
        return read_index(self.root)

    def forget_index(self) -> None:
        """Let the index be read anew after a change."""
        self.__dict__.pop("index", None)

    @property
    def has_stains(self) -> bool:
        """Whether it names stains for colour deconvolution; a file of QuPath has none for what is not brightfield."""
        return any(isinstance(item, Instance) and item.class_name == schema.STAINS for item in self.contents)

    @property
    def image_type(self) -> ImageType:
        """Image type; ``UNSET`` if there is none.

        Raises
        ------
        UnsupportedDataError
            It is one that is not known.
        """
        name = ImageType.UNSET.value
        for item in self.contents:
            if isinstance(item, EnumConstant) and item.desc.name == schema.IMAGE_TYPE:
                name = item.name.text
        try:
            return ImageType(name)
        except ValueError:
            raise UnsupportedDataError(f"has an image type that is not known: {name}", where=self.where) from None


def _check_header(contents: list[Item], where: object) -> None:
    block = contents[0] if contents else None
    if not isinstance(block, bytes) or len(block) < 2 or len(contents) < 3:
        raise DataFileError("is not a data file of QuPath: it has no header", where=where)
    version = re.fullmatch(rb"Data file version (\d{1,9})", block[2:])
    if version is not None and int(version[1]) > VERSION:
        raise UnsupportedDataError(
            f"is of version {int(version[1])} of the format; {VERSION} is the newest that is known",
            where=where,
            remedy="It was saved by a newer QuPath; it is left untouched.",
        )


def _read_metadata(contents: list[Item], where: object) -> dict[str, Any]:
    """The JSON about the image; empty for the path that QuPath 0.2 wrote instead."""
    item = contents[1]
    if not isinstance(item, JavaString):
        raise DataFileError("is not a data file of QuPath: it does not say which image it belongs to", where=where)
    if item.raw.startswith(_LEGACY_PATH.encode("ascii")):
        return {}
    try:
        metadata = json.loads(item.text)
    except (ValueError, RecursionError) as error:
        raise DataFileError(f"says in no valid JSON which image it belongs to: {error}", where=where) from error
    if not isinstance(metadata, dict):
        raise DataFileError("does not say which image it belongs to", where=where)
    version = metadata.get("dataVersion", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise UnsupportedDataError(f"is of version {version} of the format, which is not known", where=where)
    return metadata


def new_document(server: dict[str, Any] | None, image_type: ImageType, qupath_version: str | None) -> Document:
    """A file for an image without objects, as QuPath 0.3 to 0.7 read it.

    Parameters
    ----------
    server
        Server builder as in the project file; None to leave it to the project.
    image_type
        Type of the image. QuPath takes its default stains for it.
    qupath_version
        Version that the file names.

    Raises
    ------
    InvalidEditError
        QuPath would refuse the combination.
    """
    metadata = {"dataVersion": VERSION, "qupathVersion": qupath_version, "server": server}
    text = json.dumps({k: v for k, v in metadata.items() if v is not None}, ensure_ascii=False, separators=(",", ":"))
    check_image_type(image_type, server)
    vocabulary = Vocabulary((), Memo())
    root = vocabulary.instance(schema.ROOT)
    root.content[:] = [
        None,
        None,
        make_metadata(_root_id(text), {}, vocabulary),
        None,
        struct.pack(">i", 0),
    ]
    hierarchy = vocabulary.instance(schema.HIERARCHY)
    hierarchy.set("rootObject", root)
    workflow = vocabulary.instance(schema.WORKFLOW)
    workflow.content[:] = [struct.pack(">ii", 1, 0)]
    contents: list[Item] = [
        struct.pack(">H", len(HEADER)) + HEADER.encode("ascii"),
        JavaString.of(text),
        EnumConstant(vocabulary.desc(schema.IMAGE_TYPE), JavaString.of(image_type.value)),
        None,
        workflow,
        hierarchy,
        new_hash_map([], vocabulary.instance),
        JavaString.of(END),
    ]
    return Document.from_bytes(write_stream(contents))


def _root_id(text: str) -> UUID:
    """An id that follows from the JSON about the image, which may hold half a surrogate pair."""
    return uuid5(NAMESPACE_URL, text.encode("utf-8", "backslashreplace").decode("utf-8"))
