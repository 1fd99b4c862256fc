"""The few steps by which her2qp changes files: write beside, force to disk, replace in one step."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from her2qp.errors import ProjectAccessError

TEMPORARY_SUFFIX = ".her2qp-tmp"
"""Of a file that is being written; unlike any name that QuPath looks for."""

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than allowed",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}


@contextlib.contextmanager
def access_errors(where: Path) -> Iterator[None]:
    """Turn errors of the operating system into :class:`ProjectAccessError`; a missing file stays what it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise ProjectAccessError(f"cannot be read or written: {reason}", where=where) from error


def digest(data: bytes | None) -> str:
    """SHA-256 of a file's bytes; ``absent`` for a file that is not there."""
    return "absent" if data is None else hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces; ``absent`` for a file that is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "absent"


def temporary_for(path: Path) -> Path:
    """Where the new content of a file is written before it takes the file's place."""
    return path.with_name(path.name + TEMPORARY_SUFFIX)


def flush_file(path: Path) -> None:
    """Force a file's content to disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Force a folder's names to disk, where the operating system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network shares cannot, and need not
            raise
    finally:
        os.close(descriptor)


def replace(temporary: Path, path: Path) -> None:
    """Put a finished file in the place of another in one step: a reader sees the old or the new one."""
    os.replace(temporary, path)  # noqa: PTH105 - said as what it is
    flush_folder(path.parent)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, force it to disk and put it in place; on failure nothing is left."""
    temporary = temporary_for(path)
    try:
        write(temporary)
        flush_file(temporary)
        replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
