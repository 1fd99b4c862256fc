"""Read a whole stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from her2qp.qupath.java.detection import RunFinder
from her2qp.qupath.java.graph import ClassDesc, Item
from her2qp.qupath.java.handles import HandleTable
from her2qp.qupath.java.knownclasses import KnownClasses
from her2qp.qupath.java.knownruns import KnownRun
from her2qp.qupath.java.protocol import MAGIC
from her2qp.qupath.java.reader import StreamReader


@dataclass(eq=False, slots=True)
class Stream:
    """What a stream holds.

    Parameters
    ----------
    contents
        What was written at top level: primitive data as bytes, and objects.
    classes
        All class descriptors, in the order of appearance.
    """

    contents: list[Item]
    classes: list[ClassDesc]


def read_stream(
    data: bytes,
    *,
    where: object = None,
    known: Iterable[KnownRun] = (),
    classes: KnownClasses | None = None,
) -> Stream:
    """Parse a stream.

    Parameters
    ----------
    data
        The stream, from its magic number to its end. Runs keep views of it.
    where
        What to call it in errors.
    known
        Runs that it is likely to have.
    classes
        Classes that it may share with other streams; then they must not be changed.

    Raises
    ------
    DataFileError
        The data is no Java stream, is damaged or ends early; says at which byte.
    UnsupportedDataError
        The stream has something that the format of QuPath's files does not have.
    """
    handles = HandleTable()
    finder = RunFinder(data, handles, known)
    reader = StreamReader(data, handles, position=len(MAGIC), where=where, classes=classes, take_run=finder)
    if data[: len(MAGIC)] != MAGIC:
        raise reader.error("is not a Java object stream", at=0)
    contents = reader.read()
    handles.settle()
    return Stream(contents, list(reader.found))
