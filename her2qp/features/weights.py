"""Weight files: found, and proved to be the ones that are meant."""

from __future__ import annotations

import hashlib
from pathlib import Path

from her2qp.errors import ExtractorError, WeightsNotFoundError


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as 64 hex digits, read in pieces.

    Raises
    ------
    WeightsNotFoundError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsNotFoundError(f"the weight file cannot be read ({error})", where=path) from error


def require_sha256(path: Path, expected: str, remedy: str) -> None:
    """Make sure that a weight file is the one that is meant.

    Raises
    ------
    ExtractorError
        It is another one.
    WeightsNotFoundError
        It cannot be read.
    """
    found = file_sha256(path)
    if found != expected.lower():
        what = f"the weights are not the expected ones (sha256 {found[:12]}…, expected {expected[:12]}…)"
        raise ExtractorError(what, where=path, remedy=remedy)
