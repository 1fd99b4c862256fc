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

_PREFIX, _LOCK = "her2qp-qupath-", ".lock"


@contextlib.contextmanager
def staging() -> Iterator[Path]:
    """A folder in the system's temporary one that only this user can read, and that goes when it is left.

    What processes left that were killed in the middle goes too: it may be data of patients.
    """
    _remove_left()
    folder = Path(tempfile.gettempdir()) / f"{_PREFIX}{uuid4().hex}"
    with FileLock(_lock_of(folder)):
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            _remove(folder)


def _remove_left() -> None:
    for lock in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*{_LOCK}"):
        if not is_held(lock):
            _remove(lock.with_name(lock.name.removesuffix(_LOCK)))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # Windows removes no file that is open: the next one does it
        _lock_of(folder).unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK)
