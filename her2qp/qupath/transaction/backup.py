"""The state of a project before a run, kept so that the run can be undone.

``her2qp/backups/<run>/`` holds the bytes of every file as it was before the run first changed it, and
``manifest.json``, which is brought up to date *before* each change: after a crash it knows every content that one of
the files may have.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from her2qp.errors import ProjectChangedError, ProjectFormatError, RunError
from her2qp.qupath.jsonfile import read_bounded
from her2qp.qupath.transaction.disk import access_errors, file_digest, flush_folder, write_atomically
from her2qp.qupath.transaction.lock import ProjectLock, inside, private_folder

KEPT_RUNS = 10
"""How many runs can be undone; older backups are removed when a run begins."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OURS = re.compile(r"[^/\\:]+\.qpproj|classifiers/classes\.json|data/\d{1,19}/(data\.qpdata|server\.json)")
"""Files that her2qp changes; a manifest that names another is not one of its own."""


@dataclass(slots=True)
class FileState:
    """What a run did to one file.

    Parameters
    ----------
    before
        SHA-256 before the run; ``absent`` if the run made the file.
    contents
        SHA-256 of the last two contents that the run put there: after a crash either may be the present one.
    """

    before: str
    contents: list[str] = field(default_factory=list)

    @property
    def existed(self) -> bool:
        """Whether the file was there before the run."""
        return self.before != "absent"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back.

    Parameters
    ----------
    run, command
        The run that was undone, and what it did.
    files
        The files that are as they were before, relative to the project folder.
    """

    run: str
    command: str
    files: tuple[str, ...]


@dataclass(slots=True)
class Backup:
    """Backup of one run.

    Parameters
    ----------
    project_folder
        The project.
    run_id, command, started
        Which run it belongs to.
    files
        By path relative to the project folder, with forward slashes.
    """

    project_folder: Path
    run_id: str
    command: str
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    files: dict[str, FileState] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where it is."""
        return _backups_folder(self.project_folder) / check_run_id(self.run_id)

    @property
    def has_changes(self) -> bool:
        """Whether the run changed anything."""
        return any(state.contents for state in self.files.values())

    def announce(self, relative: str, before: str, after: str) -> None:
        """Record, before it happens, that a file's content changes from digest `before` to `after`.

        The first time, the file's bytes are copied too.

        Raises
        ------
        ProjectChangedError
            The file is no longer what `before` says.
        """
        if relative not in self.files:
            if before != "absent":
                self._copy(relative, before)
            self.files[relative] = FileState(before)
        state = self.files[relative]
        state.contents = [*state.contents, after][-2:]
        self._write_manifest()

    def _copy(self, relative: str, before: str) -> None:
        source, kept = self.project_folder / relative, self.folder / relative
        with access_errors(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, lambda temporary: shutil.copyfile(source, temporary))
            if file_digest(kept) != before:
                raise ProjectChangedError("changed while it was being backed up", where=source)

    def _write_manifest(self) -> None:
        files = {path: {"before": state.before, "contents": state.contents} for path, state in self.files.items()}
        document = {"run": self.run_id, "command": self.command, "started": self.started, "files": files}
        text = json.dumps(document, indent=2)
        with access_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / "manifest.json", lambda path: path.write_text(text, encoding="utf-8"))

    @classmethod
    def read(cls, project_folder: Path, run_id: str) -> Backup:
        """Read the backup of a run.

        Raises
        ------
        RunError
            There is none, or its manifest is damaged.
        """
        path = _backups_folder(project_folder) / check_run_id(run_id) / "manifest.json"
        try:
            document = json.loads(read_bounded(path))
            files = {relative: _file_state(relative, state) for relative, state in document["files"].items()}
            return cls(project_folder, run_id, str(document["command"]), str(document["started"]), files)
        except FileNotFoundError as error:
            raise RunError("has no backup, so it cannot be undone", where=f"run {run_id}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError, ProjectFormatError) as error:
            raise RunError("the record of the backup is damaged", where=path) from error

    def remove(self) -> None:
        """Delete the backup."""
        with access_errors(self.folder):
            if self.folder.is_dir():
                shutil.rmtree(self.folder)

    def restore(self) -> Restored:
        """Put every file back as it was before the run, then delete the backup.

        The caller holds the lock. Nothing is changed unless everything can be.

        Raises
        ------
        ProjectChangedError
            A file was changed after the run; undoing would lose that change.
        RunError
            The backup is damaged.
        """
        pending: list[str] = []
        for relative, state in self.files.items():
            path = inside(self.project_folder, relative)
            with access_errors(path):
                present = file_digest(path)
                if present == state.before:
                    continue
                if present not in state.contents:
                    raise ProjectChangedError(
                        f"changed after run {self.run_id}, so undoing that run would lose the change", where=path
                    )
                if state.existed and file_digest(self.folder / relative) != state.before:
                    raise RunError("the backup of the file is damaged", where=self.folder / relative)
            pending.append(relative)
        for relative in pending:
            self._restore_file(relative)
        self.remove()
        return Restored(self.run_id, self.command, tuple(pending))

    def _restore_file(self, relative: str) -> None:
        path, kept = self.project_folder / relative, self.folder / relative
        with access_errors(path):
            if self.files[relative].existed:
                write_atomically(path, lambda temporary: shutil.copyfile(kept, temporary))
                return
            path.unlink()
            flush_folder(path.parent)
            if path.parent != self.project_folder and not any(path.parent.iterdir()):
                path.parent.rmdir()


def list_backups(project_folder: Path) -> list[Backup]:
    """Backups of a project that can be undone, oldest first; damaged ones are passed over."""
    folder = _backups_folder(project_folder)
    found: list[Backup] = []
    for run_folder in folder.iterdir() if folder.is_dir() else ():
        try:
            found.append(Backup.read(project_folder, run_folder.name))
        except RunError:
            continue
    return sorted(found, key=lambda backup: (backup.started, backup.run_id))


def last_backup(project_folder: Path) -> Backup | None:
    """Backup of the last run that changed something and was not undone."""
    return next((backup for backup in reversed(list_backups(project_folder)) if backup.has_changes), None)


def restore_backup(project_folder: Path, run_id: str) -> Restored:
    """Undo a run: every file is byte for byte what it was before.

    Raises
    ------
    RunError
        There is no backup of that run, or it is damaged.
    ProjectChangedError
        Somebody saved after the run; nothing is changed.
    ProjectLockedError
        Another her2qp process is writing to the project.
    ProjectAccessError
        The project cannot be written.
    """
    with ProjectLock(project_folder, "undo"):
        return Backup.read(project_folder, run_id).restore()


def restore_last(project_folder: Path) -> Restored:
    """Undo the last run that changed something and was not undone; errors as for :func:`restore_backup`."""
    if last_backup(project_folder) is None:  # a project without runs gets no lock file
        raise RunError("there is no run to undo", where=project_folder)
    with ProjectLock(project_folder, "undo"):
        backup = last_backup(project_folder)
        if backup is None:
            raise RunError("there is no run to undo", where=project_folder)
        return backup.restore()


def check_run_id(run_id: str) -> str:
    """Return a run id that can be the name of a folder.

    Raises
    ------
    RunError
        It cannot.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise RunError("a run id is made of letters, digits, dots, hyphens and underscores", where=f"run {run_id!r}")
    return run_id


def _backups_folder(project_folder: Path) -> Path:
    return private_folder(project_folder) / "backups"


def _file_state(relative: str, state: dict[str, Any]) -> FileState:
    if not _OURS.fullmatch(relative) or not all(isinstance(digest, str) for digest in state["contents"]):
        raise ValueError(relative)
    return FileState(str(state["before"]), list(state["contents"]))
