"""Undo a run: put back what it changed, and nothing that anybody else did."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from her2qp.errors import ProjectAccessError, ProjectChangedError, RunError
from her2qp.qupath.classlist import CLASS_LIST
from her2qp.qupath.jsonfile import read_bounded
from her2qp.qupath.transaction.backup import Backup, FileState, last_backup, list_backups
from her2qp.qupath.transaction.disk import ABSENT, Signature, access_errors, file_digest
from her2qp.qupath.transaction.journal import Change, Journal
from her2qp.qupath.transaction.lock import PATIENCE_S, ProjectLock, forget_lock, image_part, run_part
from her2qp.qupath.transaction.places import inside
from her2qp.qupath.transaction.step import Step, Update


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back.

    Parameters
    ----------
    run, command
        The run that was undone, and what it did.
    files
        The files from which the run's changes are gone, relative to the project folder.
    """

    run: str
    command: str
    files: tuple[str, ...]


def restore_backup(
    project_folder: Path, run_id: str, *, also: Callable[[Step, Restored], object] | None = None
) -> Restored:
    """Undo a run.

    Every file is byte for byte what it was before; where others changed a file that all images share since, only the
    run's own changes are taken back from it.

    Raises
    ------
    RunError
        There is no backup of that run, or it is damaged.
    ProjectChangedError
        Somebody saved an image after the run; nothing is changed.
    ProjectLockedError
        The run is still going on, or another works on one of its images.
    ProjectAccessError
        The project cannot be written.
    """
    Backup.read(project_folder, run_id)  # a project without runs gets no lock file
    with ProjectLock(project_folder, "undo", wait_s=PATIENCE_S):
        return _restore(Backup.read(project_folder, run_id), also)


def restore_last(project_folder: Path, *, also: Callable[[Step, Restored], object] | None = None) -> Restored:
    """Undo the last run that changed something and was not undone; errors as for :func:`restore_backup`.

    Parameters
    ----------
    project_folder
        Folder of the project.
    also
        Is given the step that undoes, and what it undoes, to add what is to change with it.
    """
    finished = finish_stopped_undo(project_folder)
    if finished is not None:
        return finished
    backup = last_backup(project_folder)
    if backup is None:
        raise RunError("there is no run to undo", where=project_folder)
    return restore_backup(project_folder, backup.run_id, also=also)


def finish_stopped_undo(project_folder: Path) -> Restored | None:
    """Finish an undo that was stopped half way, or take it back where it cannot be finished.

    While it is half way, the backup that it restores may seem to be gone.

    Parameters
    ----------
    project_folder
        Folder of the project.

    Returns
    -------
    Restored or None
        What it has undone; None if there was none, or it was taken back.

    Raises
    ------
    ProjectFormatError
        The journal is damaged.
    ProjectLockedError
        Another process works on the project.
    ProjectAccessError
        The project cannot be written.
    """
    journal = Journal.read(project_folder)
    if journal is None:
        return None
    stopped = _undone_by(journal)
    with ProjectLock(project_folder, "undo", wait_s=PATIENCE_S):  # who takes the lock settles the journal
        is_undone = stopped is not None and stopped.run not in {b.run_id for b in list_backups(project_folder)}
    return stopped if is_undone else None


def _undone_by(journal: Journal) -> Restored | None:
    """The run that a step undoes, which removes its manifest; None if it does something else."""
    for change in journal.changes:
        path = PurePosixPath(change.path)
        if change.after == ABSENT and path.name == "manifest.json":
            kept = journal.previous(change)
            backup = Backup.read(journal.project_folder, path.parent.name, kept if kept.exists() else None)
            return Restored(backup.run_id, backup.command, tuple(backup.files))
    return None


def _restore(backup: Backup, also: Callable[[Step, Restored], object] | None) -> Restored:
    """Undo a run under the lock of the project, all of it or nothing."""
    _require_idle(backup)
    planned = {relative: _plan(backup, relative, state) for relative, state in backup.files.items()}
    wanted = {relative: plan for relative, plan in planned.items() if plan is not None}
    restored, step = Restored(backup.run_id, backup.command, tuple(wanted)), Step(backup.project_folder)
    try:
        for relative, plan in wanted.items():
            plan.collect(step, relative)
        step.remove(backup.manifest, expected=file_digest(backup.project_folder / backup.manifest))
        if also is not None:
            also(step, restored)
        step.commit(_NothingKept())
    finally:
        step.discard()
    with contextlib.suppress(ProjectAccessError):  # without its manifest it is nothing any more
        backup.remove()
    return restored


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be there instead of the content of digest `present`: a copy of a file, the given bytes, or nothing."""

    present: str
    content: Path | bytes | None

    def collect(self, step: Step, relative: str) -> None:
        content = self.content
        if content is None:
            step.remove(relative, expected=self.present)
        elif isinstance(content, bytes):
            step.publish(relative, expected=self.present, write=lambda path: path.write_bytes(content))
        else:
            step.publish(relative, expected=self.present, write=lambda path: shutil.copyfile(content, path))


class _NothingKept:
    """Undoing a run is not kept to be undone."""

    def announced(
        self, changes: Mapping[Change, Signature], updates: Sequence[Update]
    ) -> contextlib.AbstractContextManager[None]:
        """See :meth:`Keeper.announced`."""
        return contextlib.nullcontext()


def _require_idle(backup: Backup) -> None:
    """Make sure that neither the run goes on nor another works on its images; none can begin under this lock."""
    for part in [run_part(backup.run_id), *map(image_part, backup.image_ids)]:
        with ProjectLock(backup.project_folder, "undo", part=part):
            pass
    forget_lock(backup.project_folder, run_part(backup.run_id))


def _plan(backup: Backup, relative: str, state: FileState) -> _Plan | None:
    """How a file becomes what it is without the run; None where it is to stay as it is."""
    path, kept = inside(backup.project_folder, relative), backup.folder / relative
    with access_errors(path):
        present = file_digest(path)
        if present == state.before or (relative == CLASS_LIST and _is_needed(backup)):
            return None
        if present in state.contents and not state.is_mixed:
            if state.existed and file_digest(kept) != state.before:
                raise RunError("the backup of the file is damaged", where=kept)
            return _Plan(present, kept if state.existed else None)
        content = None if present == ABSENT else read_bounded(path)
    changes = backup.notes(relative) if state.is_noted else []
    if not changes:
        raise _would_be_lost(backup, relative)
    try:
        for change in reversed(changes):
            content = change.revert(content, path)
    except ProjectChangedError as error:
        raise _would_be_lost(backup, relative, error.what) from error
    return _Plan(present, content)


def _is_needed(backup: Backup) -> bool:
    """Whether a run that went on after this one began may use the classes that this one added."""
    return any(other.image_ids and other.changed > backup.started for other in _others(backup))


def _would_be_lost(backup: Backup, relative: str, what: str = "the file was changed since") -> ProjectChangedError:
    later = [o.run_id for o in _others(backup) if relative in o.files and o.changed > backup.changed]
    return ProjectChangedError(
        f"{what}, so undoing run {backup.run_id} would lose the change",
        where=backup.project_folder / relative,
        remedy=f"Undo run {later[-1]} first." if later else "`her2qp clear` takes out what her2qp wrote.",
    )


def _others(backup: Backup) -> list[Backup]:
    return [o for o in list_backups(backup.project_folder) if o.has_changes and o.run_id != backup.run_id]
