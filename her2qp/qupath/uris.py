"""File URIs as QuPath writes them, and slides of projects that were moved."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

_WINDOWS_DRIVE = re.compile(r"/[A-Za-z]:(/|$)")


_NOT_IN_FILE_NAMES = re.compile(r'[\x00-\x1f<>:"/\\|?*\ud800-\udfff]+')
_NAME_BYTES = 150
"""Of the 255 that a file name may have, with room for what comes before and after the image's name."""


def file_name(name: str) -> str:
    """A name without what a file system would take for something else, and not too long for it; may be empty."""
    plain = _NOT_IN_FILE_NAMES.sub("_", name)
    return plain.encode()[:_NAME_BYTES].decode(errors="ignore").strip(". ")


def file_uri(path: Path) -> str:
    """Absolute, percent-encoded ``file:`` URI of a path; the file need not exist."""
    return Path(os.path.abspath(path)).as_uri()  # noqa: PTH100 - resolve() would follow symbolic links


def uri_path(uri: str) -> str | None:
    """Decoded path of a ``file:`` URI with forward slashes, or None for any other URI.

    ``file:/x``, ``file:///x`` and ``file://localhost/x`` give ``/x``; ``file:/C:/x`` gives ``/C:/x``; the UNC forms
    ``file:////host/x`` and ``file://host/x`` give ``//host/x``.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    path = unquote(parts.path)
    if parts.scheme.lower() != "file" or not path.startswith("/") or "\0" in path:
        return None
    if parts.netloc and parts.netloc.lower() != "localhost":
        return f"//{unquote(parts.netloc)}{path}"
    return path


def uri_name(uri: str) -> str:
    """File name at the end of a URI, decoded."""
    return PurePosixPath(uri_path(uri) or unquote(uri)).name


def local_path(uri: str) -> Path | None:
    """Path on this machine that a ``file:`` URI names, or None for any other URI."""
    path = uri_path(uri)
    if path is None:
        return None
    return Path(path[1:] if os.name == "nt" and _WINDOWS_DRIVE.match(path) else path)


def candidate_paths(uri: str, *, project_uri: str | None, project_folder: Path) -> list[Path]:
    """Where the file of an image URI may be, best guess first.

    A project that was moved together with its slides still has their old absolute URIs; as QuPath does, the path
    relative to the old project folder is then tried against the new one. Paths are compared as URIs, so that a
    project from Windows can be opened on Linux.

    Parameters
    ----------
    uri
        URI of the image.
    project_uri
        URI of the ``.qpproj`` when it was saved, if known.
    project_folder
        Where the project is now.
    """
    stored = local_path(uri)
    if stored is None:
        return []
    places = [stored]
    image, project = uri_path(uri), uri_path(project_uri or "")
    if image is not None and project is not None:
        relative = _relative(image, posixpath.dirname(project))
        if relative is not None:
            places.append(Path(os.path.normpath(project_folder / relative)))
    return places


def find_file(places: list[Path]) -> Path | None:
    """First of `places` that is a file."""
    for place in places:
        try:
            if place.is_file():
                return place
        except (OSError, ValueError):  # a name that this file system cannot have
            continue
    return None


def _relative(path: str, folder: str) -> PurePosixPath | None:
    """`path` relative to `folder` with ``..`` steps, or None where they share no root (another drive or host)."""
    target, base = PurePosixPath(posixpath.normpath(path)).parts, PurePosixPath(posixpath.normpath(folder)).parts
    drives = _WINDOWS_DRIVE.match(path), _WINDOWS_DRIVE.match(folder)
    if target[0] != base[0] or (any(drives) and target[1:2] != base[1:2]):
        return None
    shared = 0
    while shared < min(len(target), len(base)) and target[shared] == base[shared]:
        shared += 1
    return PurePosixPath(*[".."] * (len(base) - shared), *target[shared:])
