"""The few steps by which her2qp changes files: write beside, force to disk, replace in one step."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias, TypeVar

from her2qp.errors import ProjectAccessError, ProjectChangedError, ProjectFormatError

Result = TypeVar("Result")

Signature: TypeAlias = tuple[int, ...]
"""Size, time of the last change and identity of a file; empty for one that is not there."""

ABSENT = "absent"
"""Stands for the digest of a file that is not there."""

TEMPORARY_SUFFIX = ".her2qp-tmp"
"""Of a file that is being written; unlike any name that QuPath looks for."""

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than allowed",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "the disk or the network share reports a fault",
    errno.ESTALE: "the network share has lost the file",
    errno.ENOTCONN: "the network share is not connected",
    errno.EBUSY: "another program has it open",
}
_OPENED_ELSEWHERE = (32, 33)
"""Windows' numbers for a file that another program has open or locked."""

_NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EISDIR, errno.EACCES, errno.EPERM)
"""What file systems say that cannot force a folder to disk, many network shares among them, and need not."""

_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Virus scanners, indexers and other readers let go of a file within a second."""


@contextlib.contextmanager
def access_errors(where: Path) -> Iterator[None]:
    """Turn errors of the operating system into :class:`ProjectAccessError`; a missing file stays what it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ProjectAccessError(f"cannot be read or written: {_reason(error)}", where=where) from error


def _reason(error: OSError) -> str:
    if getattr(error, "winerror", None) in _OPENED_ELSEWHERE:
        return "another program has it open"
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


def digest(data: bytes | None) -> str:
    """SHA-256 of a file's bytes; ``absent`` for a file that is not there."""
    return ABSENT if data is None else hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces; ``absent`` for a file that is not there.

    Raises
    ------
    ProjectAccessError
        It cannot be read.
    """
    try:
        with access_errors(path), path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ABSENT


def signature(path: Path) -> Signature:
    """What tells at once whether a file was touched.

    Raises
    ------
    ProjectAccessError
        It cannot be looked at.
    """
    try:
        with access_errors(path):
            status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ino


def changed_elsewhere(path: Path) -> ProjectChangedError:
    """The error for a file that is not the one that was read."""
    return ProjectChangedError(
        "somebody else changed this file after it was read",
        where=path,
        remedy="Close the project in QuPath and run again.",
    )


def when_settled(action: Callable[[], Result]) -> Result:
    """Try again what fails because QuPath is replacing a shared file: it is missing or half written for a moment.

    Raises
    ------
    ProjectChangedError, ProjectFormatError
        The last attempt failed too.
    """
    for pause in _PAUSES_S:
        with contextlib.suppress(ProjectChangedError, ProjectFormatError):
            return action()
        time.sleep(pause)
    return action()


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
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise


def replace(temporary: Path, path: Path) -> None:
    """Put a finished file in the place of another in one step: a reader sees the old or the new one.

    Raises
    ------
    ProjectAccessError
        The old file is not to be replaced: another program has kept it open (on Windows and on shares of Windows), or
        permission is denied.
    """
    _patiently(lambda: os.replace(temporary, path), path)  # noqa: PTH105 - said as what it is
    flush_folder(path.parent)


def remove(path: Path) -> None:
    """Delete a file; errors as for :func:`replace`."""
    _patiently(path.unlink, path)
    flush_folder(path.parent)


def _patiently(action: Callable[[], object], path: Path) -> None:
    for pause in (*_PAUSES_S, None):
        try:
            action()
            return
        except OSError as error:
            if not isinstance(error, PermissionError) and error.errno != errno.EBUSY:
                raise
            if pause is None:
                raise ProjectAccessError(
                    f"cannot be replaced: {_reason(error)}",
                    where=path,
                    remedy="Close the project in QuPath and in every other program, and run again.",
                ) from error
            time.sleep(pause)


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


def keep_copy(path: Path, kept: Path) -> None:
    """Keep a file under a second name, or as a copy where the file system knows no second names.

    For a file that is about to be replaced: one that is written in place would change under both names.
    """
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.unlink(missing_ok=True)
    try:
        os.link(path, kept)
    except OSError:
        write_atomically(kept, lambda temporary: shutil.copyfile(path, temporary))
    else:
        flush_folder(kept.parent)
