"""The state of a project before a run, kept so that the run can be undone.

``her2qp/backups/<run>/`` holds the bytes of every file as it was before the run first changed it, and
``manifest.json``, which is brought up to date *before* each change: after a crash it knows every content that one of
the files may have. What the run changed in the files that all images share lies in ``changes/``, so that it can be
taken back although others changed those files since.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from her2qp.errors import ProjectFormatError, RunError
from her2qp.qupath.jsonfile import read_bounded
from her2qp.qupath.transaction.disk import (
    ABSENT,
    Signature,
    access_errors,
    changed_elsewhere,
    file_digest,
    keep_copy,
    signature,
    write_atomically,
)
from her2qp.qupath.transaction.journal import Change, is_ours_to_change
from her2qp.qupath.transaction.places import PRIVATE_FOLDER, private_folder
from her2qp.qupath.transaction.shared import SharedChange, shared_change
from her2qp.qupath.transaction.step import Update

KEPT_RUNS = 10
"""How many runs can be undone; older backups are removed when a run begins."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(slots=True)
class FileState:
    """What a run did to one file.

    Parameters
    ----------
    before
        SHA-256 before the run; ``absent`` if the run made the file.
    contents
        SHA-256 of the content before and after the run's last change: after a crash either may be the present one.
    is_mixed
        Whether somebody else changed the file between two changes of the run.
    is_noted
        Whether each change of the run is noted in ``changes/``.
    """

    before: str
    contents: list[str] = field(default_factory=list)
    is_mixed: bool = False
    is_noted: bool = True

    @property
    def existed(self) -> bool:
        """Whether the file was there before the run."""
        return self.before != ABSENT


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
    changed
        When the run last changed a file.
    """

    project_folder: Path
    run_id: str
    command: str
    started: str = field(default_factory=lambda: _now())
    files: dict[str, FileState] = field(default_factory=dict)
    changed: str = ""

    @property
    def folder(self) -> Path:
        """Where it is."""
        return _backups_folder(self.project_folder) / check_run_id(self.run_id)

    @property
    def manifest(self) -> str:
        """Its manifest, relative to the project folder."""
        return (self.folder / "manifest.json").relative_to(self.project_folder).as_posix()

    @property
    def has_changes(self) -> bool:
        """Whether the run changed anything."""
        return any(state.contents for state in self.files.values())

    @property
    def image_ids(self) -> list[int]:
        """The images whose data the run changed."""
        return sorted({int(relative.split("/")[1]) for relative in self.files if relative.startswith("data/")})

    @staticmethod
    def _is_kept(change: Change) -> bool:
        return not change.path.startswith(f"{PRIVATE_FOLDER}/")

    @contextlib.contextmanager
    def announced(self, changes: Mapping[Change, Signature], updates: Sequence[Update]) -> Iterator[None]:
        """Record what is about to change, and while it does.

        The bytes of a file that changes for the first time are copied. What changes in a file that all images share
        is noted beside them; the notes are forgotten if the changes fail.

        Parameters
        ----------
        changes
            Of files, with the signatures that those had when they were compared with what was read; her2qp's own are
            not recorded, because undoing a run does not undo its record.
        updates
            From which some of the `changes` follow.

        Raises
        ------
        ProjectChangedError
            A file is no longer what its change says.
        """
        notes = [self._note(number, update) for number, update in enumerate(updates, len(self._notes()))]
        try:
            for change, seen in changes.items():
                if self._is_kept(change):
                    self._add(change, seen, is_noted=any(update.path == change.path for update in updates))
            self._write_manifest()
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                for note in notes:
                    note.unlink()
            raise

    def _add(self, change: Change, seen: Signature, *, is_noted: bool) -> None:
        if change.path not in self.files:
            if change.before != ABSENT:
                self._copy(change, seen)
            self.files[change.path] = FileState(change.before)
        state = self.files[change.path]
        state.is_mixed |= change.before not in (state.before, *state.contents)
        state.is_noted &= is_noted
        state.contents = [change.before, change.after]

    def _note(self, number: int, update: Update) -> Path:
        note = self.folder / "changes" / f"{number:06}.json"
        text = json.dumps({"file": update.path, **update.change.to_json()})
        with access_errors(note):
            note.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(note, lambda path: path.write_text(text, encoding="utf-8"))
        return note

    def notes(self, relative: str) -> list[SharedChange]:
        """What the run changed in a file that all images share, in order.

        Raises
        ------
        RunError
            The notes are damaged.
        """
        found: list[SharedChange] = []
        for note in self._notes():
            try:
                document = json.loads(read_bounded(note))
                if document["file"] == relative:
                    found.append(shared_change(document))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
                raise RunError("the record of the backup is damaged", where=note) from error
        return found

    def _notes(self) -> list[Path]:
        return sorted((self.folder / "changes").glob("[0-9]*.json"))

    def _copy(self, change: Change, seen: Signature) -> None:
        source, kept = self.project_folder / change.path, self.folder / change.path
        with access_errors(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
            if change.path.startswith("data/"):  # QuPath puts a new file in the place of such a one, as we do
                keep_copy(source, kept)
            else:
                write_atomically(kept, lambda temporary: shutil.copyfile(source, temporary))
            if signature(kept) != seen and file_digest(kept) != change.before:  # a second name has the same signature
                kept.unlink()
                raise changed_elsewhere(source)

    def _write_manifest(self) -> None:
        self.changed = _now()
        document = {
            "run": self.run_id,
            "command": self.command,
            "started": self.started,
            "changed": self.changed,
            "files": {path: asdict(state) for path, state in self.files.items()},
        }
        text = json.dumps(document, indent=2)
        with access_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / "manifest.json", lambda path: path.write_text(text, encoding="utf-8"))

    @classmethod
    def read(cls, project_folder: Path, run_id: str, manifest: Path | None = None) -> Backup:
        """Read the backup of a run.

        Parameters
        ----------
        project_folder, run_id
            The project, and which run.
        manifest
            Where the manifest is, if not in its place.

        Raises
        ------
        RunError
            There is none, or its manifest is damaged.
        """
        path = manifest or _backups_folder(project_folder) / check_run_id(run_id) / "manifest.json"
        try:
            document = json.loads(read_bounded(path))
            files = {relative: _file_state(relative, state) for relative, state in document["files"].items()}
            command, started, changed = (str(document.get(name, "")) for name in ("command", "started", "changed"))
            return cls(project_folder, run_id, command, started, files, changed)
        except FileNotFoundError as error:
            raise RunError("has no backup, so it cannot be undone", where=f"run {run_id}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError, ProjectFormatError) as error:
            raise RunError("the record of the backup is damaged", where=path) from error

    def remove(self) -> None:
        """Delete the backup."""
        with access_errors(self.folder):
            if self.folder.is_dir():
                shutil.rmtree(self.folder)


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
    return private_folder(project_folder, "backups")


def _file_state(relative: str, state: dict[str, Any]) -> FileState:
    if not is_ours_to_change(relative) or not all(isinstance(digest, str) for digest in state["contents"]):
        raise ValueError(relative)
    return FileState(
        str(state["before"]), list(state["contents"]), bool(state.get("is_mixed")), bool(state.get("is_noted"))
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
