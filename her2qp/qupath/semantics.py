"""What can be written down and makes QuPath fail when it opens the image, which then looks empty.

QuPath finds these faults only when it loads, and says nothing: the next save loses every object. So nothing is written
to an image that has one, whoever made it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from her2qp.errors import InvalidEditError
from her2qp.qupath.classes import PathClass
from her2qp.qupath.objects import ImageType
from her2qp.qupath.version import version_key

BUILDER_SINCE = {
    "flipped": (0, 7),
    "normalized": (0, 6),
    "sliced": (0, 6),
    "typeConvert": (0, 6),
    "z_concatenated": (0, 6),
    "z_projected": (0, 6),
}
"""Types of server builder that not every QuPath from 0.3 on knows, with the version that brought them."""


def check_image_type(image_type: ImageType, server: dict[str, Any] | None, *, has_stains: bool = False) -> None:
    """Check that QuPath accepts an image type for an image.

    Parameters
    ----------
    image_type
        The type.
    server
        Server builder of the image, as in the project file.
    has_stains
        Whether the file names stains for colour deconvolution.

    Raises
    ------
    InvalidEditError
        A brightfield type for an image that is not RGB, which QuPath 0.6 and later do not load, or stains for a type
        that is not brightfield, which none does.
    """
    is_brightfield = image_type.value.startswith("BRIGHTFIELD")
    if has_stains and not is_brightfield:
        raise InvalidEditError(
            f"an image of type {image_type} cannot have stains: QuPath could not open it",
            remedy="Set the image type in QuPath to a brightfield one, or anew to the one it has.",
        )
    metadata = (server or {}).get("metadata")
    if not is_brightfield or not isinstance(metadata, dict):
        return
    channels = metadata.get("channels")
    if metadata.get("isRGB") is False and (not isinstance(channels, list) or len(channels) != 3):
        raise InvalidEditError(
            f"an image that is not RGB cannot be of type {image_type}",
            where=metadata.get("name"),
            remedy="Choose FLUORESCENCE or OTHER.",
        )


def check_classes(path_classes: Iterable[PathClass]) -> None:
    """Check that QuPath can load the classes that objects of a file have.

    Raises
    ------
    InvalidEditError
        A part of a derived class is blank, or has a colon or line break.
    """
    for path_class in path_classes:
        if any(not part.strip() or any(c in part for c in ":\n\r") for part in path_class.names[1:]):
            raise InvalidEditError(
                "an object has a class that QuPath cannot load: a part of it is blank or has a colon or line break",
                where=f"class {str(path_class)!r}",
                remedy="Rename it where it was made.",
            )


def check_builder(builder: object, qupath_version: str | None) -> None:
    """Check that the QuPath version of a project knows how an image is opened.

    Parameters
    ----------
    builder
        Server builder of the image.
    qupath_version
        Version that the project names; None if it names none, then nothing is known.

    Raises
    ------
    InvalidEditError
        The builder, or one within it, is of a type that only a later version knows: for the project's version the
        whole project cannot be opened.
    """
    if qupath_version is None:
        return
    waiting = [builder]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            kind = item.get("builderType")
            since = BUILDER_SINCE.get(kind) if isinstance(kind, str) else None
            if since is not None and version_key(qupath_version)[:2] < since:
                raise InvalidEditError(
                    f"a {kind!r} server builder is known since QuPath {since[0]}.{since[1]}, "
                    f"but the project is of QuPath {qupath_version}",
                    remedy="Open the project in the newer QuPath and save it there.",
                )
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
