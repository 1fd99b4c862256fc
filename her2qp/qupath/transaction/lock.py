"""One writer at a time: advisory locks on a project and on its parts, and who holds them.

A run holds a lock of its own and that of the image it works on for as long as it works, so that nobody undoes it half
way and no two runs mix their results in one image. It holds the lock of the whole project only while it puts a file in
place, so that runs on different images go on side by side.

The locks are the operating system's, so they end with the process that holds them, however that ends. QuPath knows no
locks; what it changes meanwhile is noticed by comparing contents before a file is replaced.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from her2qp.errors import ProjectAccessError, ProjectLockedError
from her2qp.qupath.transaction.disk import access_errors
from her2qp.qupath.transaction.holder import Holder
from her2qp.qupath.transaction.journal import Journal
from her2qp.qupath.transaction.places import PRIVATE_FOLDER, inside
from her2qp.qupath.transaction.remains import is_held, tidy

_log = logging.getLogger(__name__)

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
            predecessor = self._predecessor()
            Holder(self._command).write(self._holder_file)
            if self._part is None:
                self._settle(predecessor)
        except BaseException:
            self._lock.release()
            raise

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            used = "in use" if self._part is None else f"{self._part} is in use"
            raise ProjectLockedError(
                f"{used} by {Holder.read(self._holder_file) or 'another her2qp process'}",
                where=self._project_folder,
                remedy="Wait until it has finished, or stop it.",
            ) from None
        except NotImplementedError as error:
            raise ProjectAccessError("the file system offers no locks", where=self._path) from error

    def _predecessor(self) -> Holder | None:
        """Who died holding this lock, None if nobody did.

        A process of this computer that holds a lock no more is dead; of one elsewhere nobody here can tell.
        """
        left = Holder.read(self._holder_file)
        if left is not None and not left.is_here:
            raise ProjectLockedError(
                f"in use by {left}, or that process died",
                where=self._project_folder,
                remedy=f"If it does not run there any more, delete {self._holder_file}.",
            )
        return left

    def _settle(self, predecessor: Holder | None) -> None:
        """Finish, or take back, what a process that died was putting in place, and remove what it had not finished."""
        journal = Journal.read(self._project_folder)
        if journal is not None:
            _log.warning("%s: a run was stopped half way; %s", self._project_folder, journal.settle())
        tidy(self._project_folder, predecessor)


class ImageLock:
    """Lock of an image, with which a run keeps the others away from the image as long as it works on it.

    Parameters
    ----------
    project_folder
        Folder of the project.
    entry_id
        The image.
    """

    def __init__(self, project_folder: Path, entry_id: int) -> None:
        self._project_folder = project_folder
        self._part = image_part(entry_id)
        self._held = False

    @contextlib.contextmanager
    def hold(self, command: str, *, wait_s: float = PATIENCE_S) -> Iterator[None]:
        """Hold the lock, also within itself; who undoes a run holds that of the whole project, and is waited for.

        Raises
        ------
        ProjectLockedError
            Another run works on the image.
        """
        if self._held:
            yield
            return
        with ProjectLock(self._project_folder, command, part=self._part, wait_s=wait_s):
            with ProjectLock(self._project_folder, command, wait_s=PATIENCE_S):
                self._held = True
            try:
                yield
            finally:
                self._held = False


def run_part(run_id: str) -> str:
    """What the lock is called that a run holds as long as it goes on."""
    return f"run {run_id}"


def image_part(entry_id: int) -> str:
    """What the lock of an image is called."""
    return f"image {entry_id}"


def is_locked(project_folder: Path, part: str) -> bool:
    """Whether a process holds the lock of a part of the project."""
    return is_held(_lock_file(project_folder, part))


def forget_lock(project_folder: Path, part: str) -> None:
    """Remove what is left of the lock of a part that nobody will want again; the caller holds it."""
    with contextlib.suppress(OSError):  # Windows removes no open file: an empty one stays
        _lock_file(project_folder, part).unlink(missing_ok=True)


def _lock_file(project_folder: Path, part: str | None) -> Path:
    name = "lock" if part is None else f"locks/{part.replace(' ', '-')}"
    return inside(project_folder, f"{PRIVATE_FOLDER}/{name}")
