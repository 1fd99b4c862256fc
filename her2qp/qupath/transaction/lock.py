"""One writer at a time: advisory locks on a project and on its parts, and who holds them.

A run holds a lock of its own and that of the image it works on for as long as it works, so that nobody undoes it half
way and no two runs mix their results in one image. It holds the lock of the whole project only while it puts a file in
place, so that runs on different images go on side by side.

The locks are the operating system's, so they end with the process that holds them, however that ends. QuPath knows no
locks; what it changes meanwhile is noticed by comparing contents before a file is replaced.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from her2qp.errors import ProjectAccessError, ProjectLockedError
from her2qp.qupath.transaction.disk import access_errors

PRIVATE_FOLDER = "her2qp"
"""Folder inside the project that holds locks, backups and run records; QuPath passes it over."""

PATIENCE_S = 60.0
"""How long to wait for another run that is putting a file in place, which takes moments."""


class ProjectLock:
    """Lock of a project, to be used as a context manager; the holder may enter it again.

    Parameters
    ----------
    project_folder
        Folder of the project.
    command
        What the holder is doing, told to others who want the lock.
    part
        What is locked, for instance ``image 3``; None for the whole project. Parts are independent of each other and
        of the whole.
    wait_s
        How long to wait for another holder, in seconds.
    """

    def __init__(self, project_folder: Path, command: str, *, part: str | None = None, wait_s: float = 0.0) -> None:
        self._project_folder = project_folder
        self._command = command
        self._part = part
        self._path = _lock_file(project_folder, part)
        self._holder_file = self._path.with_name(self._path.name + ".json")
        self._lock = FileLock(self._path, timeout=wait_s)
        self._depth = 0

    def __enter__(self) -> ProjectLock:
        if not self._depth:
            self._take()
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            with contextlib.suppress(OSError):  # it only informs; the next holder overwrites it
                self._holder_file.unlink(missing_ok=True)
            self._lock.release()

    def _take(self) -> None:
        if not self._project_folder.is_dir():
            raise ProjectAccessError("the project folder is gone", where=self._project_folder)
        with access_errors(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._acquire()
        try:
            with access_errors(self._holder_file):
                self._holder_file.write_text(json.dumps(self._holder()), encoding="utf-8")
        except BaseException:
            self._lock.release()
            raise

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            used = "in use" if self._part is None else f"{self._part} is in use"
            raise ProjectLockedError(
                f"{used} by {self._describe_holder()}",
                where=self._project_folder,
                remedy="Wait until it has finished, or stop it.",
            ) from None
        except NotImplementedError as error:
            raise ProjectAccessError("the file system offers no locks", where=self._path) from error

    def _holder(self) -> dict[str, object]:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"user": _user(), "host": socket.gethostname(), "pid": os.getpid()}
        return {**holder, "since": since, "command": self._command}

    def _describe_holder(self) -> str:
        try:
            holder = json.loads(self._holder_file.read_text(encoding="utf-8")[:4096])
            who = f"{holder['user']}, process {holder['pid']} on {holder['host']}"
            return f"her2qp {holder['command']} ({who}) since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):  # being written, or not ours
            return "another her2qp process"


def is_locked(project_folder: Path, part: str) -> bool:
    """Whether a process holds the lock of a part of the project."""
    path = _lock_file(project_folder, part)
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def forget_lock(project_folder: Path, part: str) -> None:
    """Remove what is left of the lock of a part that nobody will want again; the caller holds it."""
    with contextlib.suppress(OSError):  # Windows removes no open file: an empty one stays
        _lock_file(project_folder, part).unlink(missing_ok=True)


def _lock_file(project_folder: Path, part: str | None) -> Path:
    name = "lock" if part is None else f"locks/{part.replace(' ', '-')}"
    return inside(project_folder, f"{PRIVATE_FOLDER}/{name}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, as in some containers
        return "an unnamed user"


def private_folder(project_folder: Path) -> Path:
    """Where her2qp keeps its own files in a project.

    Raises
    ------
    ProjectAccessError
        It is a link that leads out of the project.
    """
    return inside(project_folder, PRIVATE_FOLDER)


def inside(project_folder: Path, relative: str) -> Path:
    """Path inside a project, sure not to lead out of it when written.

    Raises
    ------
    ProjectAccessError
        A link on the way leads out of the project folder.
    """
    path = project_folder / relative
    if not path.resolve().is_relative_to(project_folder.resolve()):
        raise ProjectAccessError(
            "leads out of the project folder, so nothing is written there",
            where=path,
            remedy="Replace the link by a copy of what it points to.",
        )
    return path
