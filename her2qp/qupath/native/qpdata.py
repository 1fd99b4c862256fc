"""``data.qpdata``: everything that QuPath keeps about one image, read and edited without QuPath."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from her2qp.errors import DataFileError, Her2qpError
from her2qp.qupath import uuids
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.java import KnownRun
from her2qp.qupath.native.cellpoints import read_cells
from her2qp.qupath.native.document import Document, new_document
from her2qp.qupath.native.entries import AnyEntry, Entry, RunEntry
from her2qp.qupath.native.path_objects import read_objects
from her2qp.qupath.native.records import read_record
from her2qp.qupath.native.references import grid_cores
from her2qp.qupath.native.surgery import apply_edit
from her2qp.qupath.native.tiles import classes_of, read_tiles, rows_with_more
from her2qp.qupath.native.values import Memo
from her2qp.qupath.native.vocabulary import Vocabulary
from her2qp.qupath.objects import CellTable, ImageType, ObjectType, PathObject, TileTable
from her2qp.qupath.semantics import check_builder, check_classes, check_image_type
from her2qp.qupath.tiletables import fits_table

_AT_ONCE = 256
"""Objects that are made together."""


class QpData:
    """The data file of one image, a :class:`~her2qp.qupath.hierarchy.Hierarchy` that can be edited.

    The file is kept as a graph of Java objects, and edits change the graph: workflow, stains, properties and whatever
    else an edit does not name stay as they are. Read by QuPath 0.3 to 0.7.

    Examples
    --------
    >>> from her2qp.qupath.native.qpdata import QpData
    >>> data = QpData.create({"builderType": "uri", "uri": "file:/slides/a.svs", "args": []})
    >>> QpData.from_bytes(data.to_bytes()).image_type
    <ImageType.UNSET: 'UNSET'>
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._memo = Memo()
        with self._naming():
            self._document.index  # noqa: B018 - a hierarchy that cannot be read is refused at once

    @classmethod
    def read(cls, path: str | Path, *, known: Iterable[KnownRun] = ()) -> QpData:
        """Read a file.

        Parameters
        ----------
        path
            A ``data.qpdata``.
        known
            Runs that it is likely to have, which are then found faster.

        Raises
        ------
        DataFileError
            It cannot be read, is damaged or ends early.
        UnsupportedDataError
            It is of a newer format, or holds objects of unknown classes.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise DataFileError(f"cannot be read: {error.strerror or error}", where=path) from error
        return cls.from_bytes(data, where=path, known=known)

    @classmethod
    def from_bytes(cls, data: bytes, *, where: object = None, known: Iterable[KnownRun] = ()) -> QpData:
        """Parse the bytes of a file; raises as :meth:`read`. `where` names it in errors."""
        return cls(Document.from_bytes(data, where=where, known=known))

    @classmethod
    def create(
        cls,
        server: dict[str, Any] | None,
        image_type: ImageType = ImageType.UNSET,
        qupath_version: str | None = "0.5.1",
    ) -> QpData:
        """Data of an image without objects.

        Parameters
        ----------
        server
            Server builder as in the project file.
        image_type
            Type of the image; QuPath takes its default stains for it.
        qupath_version
            Version that the file names.

        Raises
        ------
        InvalidEditError
            QuPath would refuse the image type for the image.
        """
        return cls(new_document(server, image_type, qupath_version))

    def to_bytes(self) -> bytes:
        """The file's bytes; those that were read, if nothing was changed."""
        return self._document.to_bytes()

    def write(self, path: Path) -> None:
        """Write the file's bytes to a path; an error of the operating system is left to the caller."""
        self._document.write(path)

    @property
    def image_type(self) -> ImageType:
        """Image type that the user set, ``UNSET`` if none."""
        return self._document.image_type

    @property
    def server(self) -> dict[str, Any] | None:
        """Server builder; None if the file has none. The one in the project file counts, not this one."""
        server = self._document.metadata.get("server")
        return server if isinstance(server, dict) else None

    @property
    def qupath_version(self) -> str | None:
        """Version of the QuPath that wrote the file, if it says so."""
        version = self._document.metadata.get("qupathVersion")
        return version if isinstance(version, str) else None

    @property
    def annotations(self) -> Sequence[PathObject]:
        """All annotations, parents before children, in QuPath's order."""
        with self._naming():
            return tuple(read_objects(self._entries_of(ObjectType.ANNOTATION), self._memo))

    @property
    def tma_cores(self) -> Sequence[PathObject]:
        """All TMA cores, row by row."""
        with self._naming():
            order = {core: number for number, core in enumerate(grid_cores(self._document.hierarchy))}
            cores = self._entries_of(ObjectType.TMA_CORE)
            cores.sort(key=lambda core: order.get(core.record.instance, len(order)))
            return tuple(read_objects(cores, self._memo))

    def _entries_of(self, kind: ObjectType) -> list[Entry]:
        return [one for one in self._document.index.entries if isinstance(one, Entry) and one.record.type is kind]

    def tiles(self) -> TileTable:
        """All rectangular tile detections as arrays."""
        with self._naming():
            return read_tiles(self._document.index, self._memo)

    def tiles_with_more(self) -> Iterator[PathObject]:
        """Those of the tiles that have a name, colour, lock, metadata, plane or class probability of their own."""
        return self._with_more(entry for entry in self._document.index.entries if entry.record.is_table_tile)

    def _with_more(self, tiles: Iterable[AnyEntry]) -> Iterator[PathObject]:
        for entry in tiles:
            if isinstance(entry, RunEntry):
                yield from (self.object_at(entry, row) for row in np.flatnonzero(rows_with_more(entry)).tolist())
            else:
                yield from (tile for tile in self._read((entry,)) if not fits_table(tile))

    def cell_table(self) -> CellTable:
        """Cells, and detections that are neither tiles nor part of a cell, as arrays."""
        with self._naming():
            return read_cells(self._document.index, self._memo)

    def objects(self) -> Iterator[PathObject]:
        """Every object but the root, parents before children: annotations, cores, detections, cells and tiles."""
        return self._read(self._document.index.entries)

    def objects_but_rows(self) -> Iterator[PathObject]:
        """Every object of which a row of :meth:`tiles` does not say all or under which others lie, in QuPath's order.

        Parents come before children.
        """
        for entry in self._document.index.entries:
            is_row = entry.record.is_table_tile and (isinstance(entry, RunEntry) or not entry.record.child_items)
            yield from (self._with_more if is_row else self._read)((entry,))

    def objects_apart(self) -> Iterator[PathObject]:
        """Every object that neither :meth:`tiles` nor :attr:`runs` holds, parents before children."""
        return self._read(
            entry
            for entry in self._document.index.entries
            if isinstance(entry, Entry) and not entry.record.is_table_tile
        )

    @property
    def runs(self) -> Sequence[RunEntry]:
        """Rows of runs that :meth:`tiles` does not hold: objects without children, of which there may be many."""
        return [entry for entry in self._document.index.runs if not entry.record.is_table_tile]

    def object_at(self, entry: RunEntry, row: int) -> PathObject:
        """Make the object of one row of a run."""
        with self._naming():
            return read_objects((entry.entry(row),), self._memo)[0]

    def path_classes(self) -> set[PathClass]:
        """The classes that any object has."""
        with self._naming():
            entries = self._document.index.entries
            return {c for entry in entries for c in classes_of(entry, self._memo) if c is not None}

    def _read(self, entries: Iterable[AnyEntry]) -> Iterator[PathObject]:
        singles = (single for entry in entries for single in entry.singles())
        while True:
            with self._naming():
                values = read_objects(tuple(islice(singles, _AT_ONCE)), self._memo)
            if not values:
                return
            yield from values

    def count(self) -> Counter[ObjectType]:
        """Number of objects of each type, without making them."""
        counts: Counter[ObjectType] = Counter()
        for entry in self._document.index.entries:
            if entry.record.type is not None:
                counts[entry.record.type] += 1 if isinstance(entry, Entry) else len(entry.run)
        return counts

    def ids(self) -> set[UUID]:
        """Ids of all objects."""
        with self._naming():
            index = self._document.index
            return {*index.by_id, *(UUID(bytes=raw) for entry in index.runs for raw in uuids.as_bytes(entry.ids))}

    @property
    def stores_every_id(self) -> bool:
        """Whether the file gives the id of every object; else some are derived, and QuPath would make up others."""
        with self._naming():
            return not self._document.index.derived_ids

    def check_loadable(self, server: dict[str, Any] | None, qupath_version: str | None) -> None:
        """Check that QuPath does not fail to load the file for what it says.

        Parameters
        ----------
        server
            Server builder in the project file.
        qupath_version
            Version that the project file names.

        Raises
        ------
        InvalidEditError
            A server builder is of a type that the version does not know, the image type does not fit the image or the
            stains, or a class has a part that QuPath refuses.
        """
        with self._naming():
            for builder in (server, self.server):
                check_builder(builder, qupath_version)
            check_image_type(self.image_type, server, has_stains=self._document.has_stains)
            check_classes(self.path_classes())

    def apply(self, edit: HierarchyEdit) -> None:
        """Apply an edit; either all of it or, if it is refused, nothing.

        Raises
        ------
        InvalidEditError
            It names an object that is not there, adds an id that is there already, adds to an object that it
            removes, or would make a file that QuPath could not read.
        """
        with self._naming():
            apply_edit(self._document, edit, self._vocabulary, self._memo)
        self._document.forget_index()

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        vocabulary = Vocabulary(self._document.classes, self._memo)
        index = self._document.index
        vocabulary.learn(index.root.record)
        for entry in index.entries:
            if isinstance(entry, Entry):
                vocabulary.learn(entry.record)
            else:
                for part in entry.run.parts:
                    vocabulary.learn(read_record(part.layout.template))
                for target in entry.run.targets.values():
                    vocabulary.learn_class(target)
        return vocabulary

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Let errors name the file."""
        try:
            yield
        except Her2qpError as error:
            if error.where is None and self._document.where is not None:
                error.where = str(self._document.where)
            raise
