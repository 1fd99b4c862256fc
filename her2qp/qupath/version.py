"""Versions of QuPath, and which is the newest whose files are known."""

from __future__ import annotations

import re

from her2qp.errors import ProjectFormatError

NEWEST_KNOWN = (0, 8)
"""QuPath 0.3 to 0.7, and 0.8 while it is made, write the same files."""


def version_key(version: str) -> tuple[int, ...]:
    """Numbers of a version for comparing: ``0.5.1-rc1`` gives ``(0, 5, 1)``.

    Examples
    --------
    >>> version_key("v0.6.0-SNAPSHOT") < version_key("0.10.0")
    True
    """
    return tuple(int(number) for number in re.findall(r"\d{1,9}", version.split("-")[0])[:3])


def check_known(version: str, *, where: object = None) -> None:
    """Check that the files of a QuPath version are known.

    Raises
    ------
    ProjectFormatError
        It is newer than `NEWEST_KNOWN`.
    """
    if version_key(version)[:2] > NEWEST_KNOWN:
        raise ProjectFormatError(
            f"was saved by QuPath {version:.40}, whose files are not known; the newest known are those of "
            f"{'.'.join(map(str, NEWEST_KNOWN))}",
            where=where,
            remedy="The project is left untouched. Look for a newer her2qp.",
        )
