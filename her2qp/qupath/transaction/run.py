"""One run over a project: the lock held, every replaced file backed up first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from her2qp.errors import ProjectChangedError
from her2qp.qupath.transaction.backup import KEPT_RUNS, Backup, check_run_id, list_backups
from her2qp.qupath.transaction.disk import access_errors, file_digest, flush_file, replace, temporary_for
from her2qp.qupath.transaction.lock import ProjectLock, inside


class Transaction:
    """Changes files of a project, each in one step, so that all of them can be put back.

    Use it as a context manager; the lock is held from beginning to end. Each file is published when its change is
    complete: a run that stops half way leaves whole images behind, and can be undone.

    Parameters
    ----------
    project_folder
        Folder of the project.
    run_id
        Names the run's backup.
    command
        What is being done, told to others who want the lock.
    wait_s
        How long to wait for another holder of the lock.
    """

    def __init__(self, project_folder: Path, run_id: str, command: str, *, wait_s: float = 0.0) -> None:
        self.run_id = check_run_id(run_id)
        self._folder = project_folder
        self._backup = Backup(project_folder, run_id, command)
        self._lock = ProjectLock(project_folder, command, wait_s=wait_s)

    def __enter__(self) -> Transaction:
        self._lock.__enter__()
        try:
            kept = list_backups(self._folder)
            for backup in kept[: max(0, len(kept) - KEPT_RUNS + 1)]:
                backup.remove()
            self._continue_backup(kept)
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        return self

    def _continue_backup(self, kept: list[Backup]) -> None:
        """Go on with the backup of a run of the same id, for instance one that was interrupted."""
        self._backup = next((b for b in kept if b.run_id == self.run_id), self._backup)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

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
            The file, relative to the project folder, with forward slashes.
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
                if file_digest(path) != expected:
                    raise ProjectChangedError(
                        "somebody else changed this file after it was read",
                        where=path,
                        remedy="Close the project in QuPath and run again.",
                    )
                if after != expected:
                    self._backup.announce(relative, expected, after)
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
        with access_errors(path):
            if file_digest(path) != expected:
                raise ProjectChangedError("somebody else changed this file after it was read", where=path)
            if expected != "absent":
                self._backup.announce(relative, expected, "absent")
                path.unlink()
