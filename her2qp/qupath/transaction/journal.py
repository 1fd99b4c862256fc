"""What is being changed, on disk while it happens, so that who finds it half done can finish it or take it back.

Before the first file of a step is replaced, every new one lies finished beside the old one, every old one is kept
under ``her2qp/previous``, and ``her2qp/journal.json`` names them. It is removed after the last. A journal that is
there when the lock of the project is taken is that of a process which died: :meth:`Journal.settle` puts things right.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from her2qp.errors import ProjectFormatError
from her2qp.qupath.jsonfile import read_bounded
from her2qp.qupath.transaction.disk import (
    ABSENT,
    access_errors,
    file_digest,
    flush_folder,
    keep_copy,
    remove,
    replace,
    temporary_for,
    write_atomically,
)
from her2qp.qupath.transaction.places import inside, private_folder

_OURS = re.compile(
    r"[^/\\:]+\.qpproj|classifiers/classes\.json|data/\d{1,19}/(data\.qpdata|server\.json)"
    r"|her2qp/runs/[\w-]+\.json|her2qp/backups/[A-Za-z0-9][\w.-]{0,99}/manifest\.json",
    re.ASCII,
)


def is_ours_to_change(relative: str) -> bool:
    """Whether a path, relative to the project folder, is one that her2qp ever changes; others are refused."""
    return _OURS.fullmatch(relative) is not None


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one file.

    Parameters
    ----------
    path
        Relative to the project folder, with forward slashes.
    before, after
        SHA-256 of its content; ``absent`` where there is no file.
    """

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class _Move:
    """One file on its way: at `path` is what has the digest `start`, and `source`, of digest `goal`, is to be there."""

    path: Path
    source: Path
    start: str
    goal: str

    @property
    def is_done(self) -> bool:
        return file_digest(self.path) == self.goal

    @property
    def is_possible(self) -> bool:
        return file_digest(self.path) == self.start and self.goal in (ABSENT, file_digest(self.source))

    def make(self) -> None:
        if self.goal != ABSENT:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace(self.source, self.path)
            return
        remove(self.path)
        if self.path.parent.parent.name == "data" and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()


@dataclass(frozen=True, slots=True)
class Journal:
    """The changes of one step.

    Parameters
    ----------
    project_folder
        Folder of the project, whose lock the caller holds.
    changes
        In the order in which they are made.
    """

    project_folder: Path
    changes: tuple[Change, ...]

    @staticmethod
    def path_in(project_folder: Path) -> Path:
        """Where the journal of a project is."""
        return private_folder(project_folder, "journal.json")

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.path_in(self.project_folder)

    @classmethod
    def read(cls, project_folder: Path) -> Journal | None:
        """The journal of a project, None where there is none.

        Raises
        ------
        ProjectFormatError
            It is damaged or not one of her2qp's.
        """
        path = cls.path_in(project_folder)
        try:
            with access_errors(path):
                document = json.loads(read_bounded(path))
            changes = tuple(Change(**change) for change in document["changes"])
            if not all(is_ours_to_change(change.path) for change in changes):
                raise ValueError("it names a file that her2qp never changes")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ProjectFormatError(
                f"the journal of an interrupted run is damaged ({error})",
                where=path,
                remedy="`her2qp doctor PROJECT --repair` puts it aside.",
            ) from error
        return cls(project_folder, changes)

    def begin(self) -> None:
        """Keep the old files, and write the journal."""
        with access_errors(self.path):
            for change in self.changes:
                if change.before != ABSENT:
                    keep_copy(self.project_folder / change.path, self.previous(change))
            text = json.dumps({"changes": [asdict(change) for change in self.changes]}, indent=2)
            write_atomically(self.path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def go_forward(self) -> None:
        """Put every new file in its place."""
        for move in self._forward():
            with access_errors(move.path):
                move.make()
        self._forget()

    def go_back(self) -> None:
        """Put every old file back in its place; leaves the journal where that cannot be done."""
        if self._make_pending(list(self._back())):
            self._forget()

    def settle(self) -> str:
        """Finish what a process that died has begun, or take it back; says which in half a sentence.

        Where a file is neither the old nor the new one, somebody saved it since; everything is left as it is.

        Raises
        ------
        ProjectAccessError
            The project cannot be written.
        """
        if self._make_pending(list(self._forward())):
            what = "its last change was complete and has been put in place"
        elif self._make_pending(list(self._back())):
            what = "its last change was taken back"
        else:
            what = "somebody has saved the project since, so everything was left as it is now; run again to complete it"
        self._forget()
        return what

    def _make_pending(self, moves: list[_Move]) -> bool:
        """Make those moves that are not done yet, if all of them can be; returns whether they could."""
        with access_errors(self.project_folder):
            pending = [move for move in moves if not move.is_done]
            if not all(move.is_possible for move in pending):
                return False
            for move in pending:
                move.make()
        return True

    def _forward(self) -> Iterator[_Move]:
        for change in self.changes:
            path = inside(self.project_folder, change.path)
            yield _Move(path, temporary_for(path), change.before, change.after)

    def _back(self) -> Iterator[_Move]:
        for change in self.changes:
            path = inside(self.project_folder, change.path)
            yield _Move(path, self.previous(change), change.after, change.before)

    def previous(self, change: Change) -> Path:
        """Where the old content of a file is kept."""
        return previous_folder(self.project_folder) / change.path

    def _forget(self) -> None:
        """Remove the journal first, then what only it gave a meaning to.

        All files are where they belong by now. So a journal that cannot be removed does no harm: who finds it finds
        nothing to do.
        """
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            flush_folder(self.path.parent)
        with contextlib.suppress(OSError):
            for move in self._forward():
                move.source.unlink(missing_ok=True)
        shutil.rmtree(previous_folder(self.project_folder), ignore_errors=True)


def previous_folder(project_folder: Path) -> Path:
    """Where the old files are while a step is being made."""
    return private_folder(project_folder, "previous")
