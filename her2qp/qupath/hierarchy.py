"""The content of one image's ``data.qpdata``, however it was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol
from uuid import UUID

from her2qp.qupath.classes import PathClass
from her2qp.qupath.objects import CellTable, ImageType, ObjectType, PathObject, TileTable


class Hierarchy(Protocol):
    """A read view of the objects of one image.

    Annotations and TMA cores are made at once; detections when asked for, and tiles as arrays, because there may be a
    million of them.
    """

    @property
    def image_type(self) -> ImageType:
        """Image type that the user set, ``UNSET`` if none."""

    @property
    def annotations(self) -> Sequence[PathObject]:
        """All annotations, parents before children, in QuPath's order."""

    @property
    def tma_cores(self) -> Sequence[PathObject]:
        """All TMA cores, row by row."""

    def tiles(self) -> TileTable:
        """All rectangular tile detections as arrays, without what :meth:`tiles_with_more` have."""

    def tiles_with_more(self) -> Iterator[PathObject]:
        """Those of the tiles that have a name, colour, lock, metadata, plane or class probability of their own."""

    def cell_table(self) -> CellTable:
        """Cells, and detections that are neither tiles nor part of a cell, as arrays.

        Only those on the first z-slice and time point.
        """

    def objects(self) -> Iterator[PathObject]:
        """Every object but the root, parents before children: annotations, cores, detections, cells and tiles."""

    def objects_but_rows(self) -> Iterator[PathObject]:
        """Every object of which a row of :meth:`tiles` does not say all or under which others lie, in QuPath's order.

        Parents come before children.
        """

    def path_classes(self) -> set[PathClass]:
        """The classes that any object has."""

    def count(self) -> Counter[ObjectType]:
        """Number of objects of each type, without making them."""

    def ids(self) -> set[UUID]:
        """Ids of all objects."""
