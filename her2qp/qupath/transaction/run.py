"""One run over a project: every replaced file backed up first, nothing replaced that somebody else changed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from her2qp.errors import ProjectChangedError, ProjectFormatError
from her2qp.qupath.jsonfile import read_bounded
from her2qp.qupath.transaction.backup import KEPT_RUNS, Backup, check_run_id, list_backups, run_part
from her2qp.qupath.transaction.disk import (
    access_errors,
    digest,
    file_digest,
    flush_file,
    replace,
    signature,
    temporary_for,
)
from her2qp.qupath.transaction.lock import PATIENCE_S, ProjectLock, forget_lock, inside, is_locked
from her2qp.qupath.transaction.shared import SharedChange

_ATTEMPTS = 6
_PAUSE_S = 0.2
"""QuPath replaces a shared file in two steps or in place, so for a moment it is missing, half written or changed."""


class Transaction:
    """Changes files of a project, each in one step, so that all of them can be put back.

    Use it as a context manager. Each file is published when its change is complete: a run that stops half way leaves
    whole images behind, and can be undone. Several runs may go on at the same time: the lock of the project is held
    only while a file is put in place.

    Parameters
    ----------
    project_folder
        Folder of the project.
    run_id
        Names the run's backup.
    command
        What is being done, told to others who want a lock.
    wait_s
        How long to wait for another run that puts a file in place, in seconds.
    """

    def __init__(self, project_folder: Path, run_id: str, command: str, *, wait_s: float = PATIENCE_S) -> None:
        self.run_id = check_run_id(run_id)
        self.command = command
        self._folder = project_folder
        self._backup = Backup(project_folder, run_id, command)
        self._whole = ProjectLock(project_folder, command, wait_s=wait_s)
        self._life = ProjectLock(project_folder, command, part=run_part(run_id))

    def __enter__(self) -> Transaction:
        with self._whole, contextlib.ExitStack() as stack:
            stack.enter_context(self._life)
            kept = list_backups(self._folder)
            for backup in kept[: max(0, len(kept) - KEPT_RUNS + 1)]:
                if not is_locked(self._folder, run_part(backup.run_id)):
                    backup.remove()
            self._continue_backup(kept)
            stack.pop_all()
        return self

    def _continue_backup(self, kept: list[Backup]) -> None:
        """Go on with the backup of a run of the same id, for instance one that was interrupted."""
        self._backup = next((b for b in kept if b.run_id == self.run_id), self._backup)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        forget_lock(self._folder, run_part(self.run_id))
        self._life.__exit__(kind, error, trace)

    def exclusive(self) -> ProjectLock:
        """Lock of the whole project, for several steps that others must not come between; hold it for moments."""
        return self._whole

    def publish(
        self,
        relative: str,
        *,
        expected: str,
        write: Callable[[Path], object],
        check: Callable[[Path], object] | None = None,
    ) -> bool:
        """Replace a file of the project by a new one; returns whether its content changed.

        The new file is written beside the old one, forced to disk, read back, and takes the old one's place in one
        step. Whatever fails before that leaves the old file as it is.

        Parameters
        ----------
        relative
            The file, relative to the project folder, with forward slashes. No other run writes it at the same time:
            the caller holds the lock of its image, or of the whole project.
        expected
            Digest that the file has if nobody changed it since it was read.
        write
            Writes the new file at the path it is given.
        check
            Reads the new file back and raises if it is not what it should be.

        Raises
        ------
        ProjectChangedError
            The file is not the one that was read.
        ProjectAccessError
            The disk is full, the folder is read-only, or a link leads out of the project.
        ProjectLockedError
            Another process keeps the project locked.
        """
        path = inside(self._folder, relative)
        temporary = temporary_for(path)
        created = not path.parent.exists()
        try:
            with access_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                write(temporary)
                flush_file(temporary)
                if check is not None:
                    check(temporary)
                after = file_digest(temporary)
                with self._whole:
                    seen = self._require_unchanged(path, expected)
                    if after != expected:
                        self._backup.announce(relative, expected, after)
                        if signature(path) != seen:
                            raise _changed(path)
                        replace(temporary, path)
            return after != expected
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
                if created and not any(path.parent.iterdir()):
                    path.parent.rmdir()

    def remove(self, relative: str, *, expected: str) -> None:
        """Delete a file of the project; errors as for :meth:`publish`."""
        path = inside(self._folder, relative)
        with access_errors(path), self._whole:
            self._require_unchanged(path, expected)
            if expected != "absent":
                self._backup.announce(relative, expected, "absent")
                path.unlink()

    def update(self, relative: str, change: SharedChange, *, check: Callable[[Path], object] | None = None) -> None:
        """Make a change to the newest state of a file that all images share.

        Parameters
        ----------
        relative
            The file, relative to the project folder.
        change
            Is applied to what the file holds at that moment, and recorded so that it can be taken back alone.
        check
            Reads the new file back and raises if it is not what it should be.

        Raises
        ------
        ProjectChangedError
            What is to be changed is gone, or somebody keeps changing the file.
        ProjectFormatError
            The file is not what it should be.
        ProjectAccessError, ProjectLockedError
            As for :meth:`publish`.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with self._whole, self._backup.noted(relative, change):
                    self._update_once(relative, change, check)
                return
            except (ProjectChangedError, ProjectFormatError):
                if attempt + 1 == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE_S)

    def _update_once(self, relative: str, change: SharedChange, check: Callable[[Path], object] | None) -> None:
        path = inside(self._folder, relative)
        try:
            with access_errors(path):
                present = read_bounded(path)
        except FileNotFoundError:
            present = None
        new = change.apply(present, path)
        if new is None:
            self.remove(relative, expected=digest(present))
        elif new != present:
            self.publish(relative, expected=digest(present), write=lambda file: file.write_bytes(new), check=check)

    def _require_unchanged(self, path: Path, expected: str) -> tuple[int, ...]:
        """Signature of a file that still is what was read."""
        seen = signature(path)
        if file_digest(path) != expected:
            raise _changed(path)
        return seen


def _changed(path: Path) -> ProjectChangedError:
    return ProjectChangedError(
        "somebody else changed this file after it was read",
        where=path,
        remedy="Close the project in QuPath and run again.",
    )
