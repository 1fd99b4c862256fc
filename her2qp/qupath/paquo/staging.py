"""Folders in which QuPath works on copies of an image's data."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from her2qp.qupath.transaction.remains import is_held

_PREFIX = "her2qp-qupath-"


@contextlib.contextmanager
def staging() -> Iterator[Path]:
    """A folder in the system's temporary one that only this user can read, and that goes when it is left.

    What processes left that were killed in the middle goes too: it may be data of patients.
    """
    _remove_left()
    folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{uuid4().hex}"
    lock = _lock_of(folder)
    # Locked before the folder is there, so that none is taken for one that was left.
    with FileLock(lock):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        lock.unlink(missing_ok=True)


def _remove_left() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if folder.is_dir() and not is_held(_lock_of(folder)):
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                _lock_of(folder).unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
