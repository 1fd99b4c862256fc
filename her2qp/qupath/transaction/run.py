"""One run over a project: every replaced file backed up first, nothing replaced that somebody else changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from her2qp.qupath.transaction.backup import KEPT_RUNS, Backup, check_run_id, list_backups
from her2qp.qupath.transaction.disk import when_settled
from her2qp.qupath.transaction.lock import PATIENCE_S, ProjectLock, forget_lock, is_locked, run_part
from her2qp.qupath.transaction.shared import SharedChange
from her2qp.qupath.transaction.step import Check, Step, Update


class Transaction:
    """Changes files of a project in steps, so that all of them can be put back.

    Use it as a context manager. The files of a :meth:`step` change together, all or none: a run that stops half way
    leaves whole images behind, and can be undone. Several runs may go on at the same time: the lock of the project is
    held only while files are put in place.

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
        self._step: Step | None = None

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

    @contextlib.contextmanager
    def step(self) -> Iterator[Step]:
        """Let what is changed inside change together at its end, or not at all, whatever happens.

        A step inside a step is a part of it. Nothing changes if an exception leaves it. The caller holds the locks of
        the images it changes.

        Raises
        ------
        ProjectChangedError
            A file is not the one that was read, or somebody keeps changing one that all images share.
        ProjectAccessError
            The disk is full, the folder is read-only, or another program holds a file open.
        ProjectLockedError
            Another process keeps the project locked.
        """
        if self._step is not None:
            yield self._step
            return
        self._step = step = Step(self._folder)
        try:
            yield step
            self._commit(step)
        finally:
            self._step = None
            step.discard()

    def _commit(self, step: Step) -> None:
        def commit() -> None:
            with self._whole:
                step.commit(self._backup)

        if step.updates:
            when_settled(commit)
        else:
            commit()

    def publish(
        self, relative: str, *, expected: str, write: Callable[[Path], object], check: Check | None = None
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
        with self.step() as step:
            return step.publish(relative, expected=expected, write=write, check=check)

    def remove(self, relative: str, *, expected: str) -> None:
        """Delete a file of the project; errors as for :meth:`publish`."""
        with self.step() as step:
            step.remove(relative, expected=expected)

    def update(self, relative: str, change: SharedChange, *, check: Check | None = None) -> None:
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
        with self.step() as step:
            step.update(Update(relative, change, check))
