"""One writer at a time: an advisory lock on a project, and who holds it.

The lock is the operating system's, so it ends with the process that holds it, however that ends. QuPath knows no
locks; what it changes meanwhile is noticed by comparing contents before a file is replaced.
"""

from __future__ import annotations

import contextlib
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
"""Folder inside the project that holds the lock, backups and run records; QuPath passes it over."""


class ProjectLock:
    """Lock of a project, to be used as a context manager.

    Parameters
    ----------
    project_folder
        Folder of the project.
    command
        What the holder is doing, told to others who want the lock.
    wait_s
        How long to wait for another holder.
    """

    def __init__(self, project_folder: Path, command: str, *, wait_s: float = 0.0) -> None:
        self._folder = private_folder(project_folder)
        self._project_folder = project_folder
        self._command = command
        self._holder_file = self._folder / "lock.json"
        self._lock = FileLock(self._folder / "lock", timeout=wait_s)

    def __enter__(self) -> ProjectLock:
        try:
            with access_errors(self._folder):
                self._folder.mkdir(exist_ok=True)
                self._acquire()
        except FileNotFoundError as error:
            raise ProjectAccessError("the project folder is gone", where=self._project_folder) from error
        try:
            with access_errors(self._holder_file):
                self._holder_file.write_text(json.dumps(self._holder()), encoding="utf-8")
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # it only informs; the next holder overwrites it
            self._holder_file.unlink(missing_ok=True)
        self._lock.release()

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            raise ProjectLockedError(
                f"in use by {self._describe_holder()}",
                where=self._project_folder,
                remedy="Wait until it has finished, or stop it.",
            ) from None
        except NotImplementedError as error:
            raise ProjectAccessError("the file system offers no locks", where=self._folder) from error

    def _holder(self) -> dict[str, object]:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        return {"host": socket.gethostname(), "pid": os.getpid(), "since": since, "command": self._command}

    def _describe_holder(self) -> str:
        try:
            holder = json.loads(self._holder_file.read_text(encoding="utf-8")[:4096])
            return f"her2qp {holder['command']} (process {holder['pid']} on {holder['host']}) since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):  # being written, or not ours
            return "another her2qp process"


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
