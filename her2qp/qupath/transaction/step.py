"""Files that change together: all of them or none, whatever happens in between."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from her2qp.errors import ProjectAccessError
from her2qp.qupath.jsonfile import read_bounded
from her2qp.qupath.transaction.disk import (
    ABSENT,
    Signature,
    access_errors,
    changed_elsewhere,
    digest,
    file_digest,
    flush_file,
    signature,
    temporary_for,
)
from her2qp.qupath.transaction.journal import Change, Journal
from her2qp.qupath.transaction.places import inside
from her2qp.qupath.transaction.shared import SharedChange

Check = Callable[[Path], object]
"""Reads a new file back and raises if it is not what it should be."""


@dataclass(frozen=True, slots=True)
class Update:
    """A change of a file that all images share."""

    path: str
    change: SharedChange
    check: Check | None = None


class Keeper(Protocol):
    """Keeps what is about to change."""

    def announced(
        self, changes: Mapping[Change, Signature], updates: Sequence[Update]
    ) -> contextlib.AbstractContextManager[None]:
        """Record changes of files, and the updates from which some of them follow, while they happen.

        The signatures are those that the files had when they were compared with what was read.
        """


class Step:
    """Collects changes of files, and makes them together.

    A new file is written beside the old one, forced to disk and read back when it is collected. When all are there, a
    :class:`~her2qp.qupath.transaction.journal.Journal` says so, and they take the old ones' places.

    Parameters
    ----------
    project_folder
        Folder of the project.
    """

    def __init__(self, project_folder: Path) -> None:
        self._folder = project_folder
        self._changes: dict[str, Change] = {}
        self._updates: list[Update] = []
        self._temporaries: list[tuple[Path, bool]] = []
        self._present: dict[str, Content] = {}

    @property
    def updates(self) -> Sequence[Update]:
        """Changes of files that all images share, to be made to what those files hold in the end."""
        return self._updates

    def publish(
        self, relative: str, *, expected: str, write: Callable[[Path], object], check: Check | None = None
    ) -> bool:
        """Write the new content of a file; see :meth:`her2qp.qupath.transaction.Transaction.publish`."""
        if relative in self._changes:
            raise ValueError(f"{relative} changes twice in one step")
        change = self._written(relative, expected, write, check)
        if change.before != change.after:
            self._changes[relative] = change
        return change.before != change.after

    def _written(self, relative: str, expected: str, write: Callable[[Path], object], check: Check | None) -> Change:
        path = inside(self._folder, relative)
        temporary = temporary_for(path)
        with access_errors(path):
            self._temporaries.append((temporary, not path.parent.exists()))
            path.parent.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(1) as pool:
                present = pool.submit(Content.of, path)
                write(temporary)
                written = pool.submit(_flushed_digest, temporary)
                if check is not None:
                    check(temporary)
                self._present[relative] = present.result()
                return Change(relative, expected, written.result())

    def remove(self, relative: str, *, expected: str) -> None:
        """Delete a file; does nothing where `expected` says that there is none."""
        inside(self._folder, relative)
        if expected != ABSENT:
            self._changes[relative] = Change(relative, expected, ABSENT)

    def update(self, update: Update) -> None:
        """Make a change to what a shared file will hold when the step is made."""
        self._updates.append(update)

    def commit(self, keeper: Keeper) -> None:
        """Make all changes. The caller holds the lock of the project.

        Parameters
        ----------
        keeper
            Is told the changes before the first of them happens, and whether they failed.

        Raises
        ------
        ProjectChangedError
            A file is not the one that was read; none was changed.
        ProjectFormatError
            A file that all images share is not what it should be; none was changed.
        ProjectAccessError
            A file could not be replaced; those that were are as before. Where even that is impossible, the journal
            stays, and the next run puts the project right.
        """
        changes = [*self._changes.values(), *self._updated()]
        if not changes:
            return
        seen = {change: self._require_unchanged(change) for change in changes}
        with _missing_is_changed(self._folder), keeper.announced(seen, self._updates):
            journal = Journal(self._folder, tuple(changes))
            try:
                journal.begin()
                for change, before in seen.items():
                    if signature(self._folder / change.path) != before:
                        raise changed_elsewhere(self._folder / change.path)
                journal.go_forward()
            except BaseException:
                with contextlib.suppress(OSError, ProjectAccessError):
                    journal.go_back()
                raise

    def _updated(self) -> list[Change]:
        """Apply the updates to the newest state of the shared files."""
        changes: list[Change] = []
        for relative in dict.fromkeys(update.path for update in self._updates):
            path = inside(self._folder, relative)
            updates = [update for update in self._updates if update.path == relative]
            present = content = _read(path)
            for update in updates:
                content = update.change.apply(content, path)
            if content is None and present is not None:
                changes.append(Change(relative, digest(present), ABSENT))
            elif content is not None and content != present:
                check = next((update.check for update in updates if update.check is not None), None)
                changes.append(self._written(relative, digest(present), partial(_write, content), check))
        return changes

    def _require_unchanged(self, change: Change) -> Signature:
        """Signature of a file that still is what was read, byte for byte."""
        path = self._folder / change.path
        content = self._present.get(change.path)
        if content is None or content.signature != signature(path):
            content = Content.of(path)
        if content.digest != change.before:
            raise changed_elsewhere(path)
        return content.signature

    def discard(self) -> None:
        """Delete what was written and is not in place, unless a journal that is still there counts on it."""
        if Journal.path_in(self._folder).exists():
            return
        for temporary, made_folder in self._temporaries:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
                if made_folder and not any(temporary.parent.iterdir()):
                    temporary.parent.rmdir()


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held when its signature was the given one."""

    signature: Signature
    digest: str

    @classmethod
    def of(cls, path: Path) -> Content:
        """What it holds now; the signature is older, so that one that is still the same vouches for the digest."""
        return cls(signature(path), file_digest(path))


def _read(path: Path) -> bytes | None:
    try:
        with access_errors(path):
            return read_bounded(path)
    except FileNotFoundError:
        return None


def _flushed_digest(path: Path) -> str:
    flush_file(path)
    return file_digest(path)


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


@contextlib.contextmanager
def _missing_is_changed(folder: Path) -> Iterator[None]:
    """QuPath renames a file before it writes it anew, so one that was just there may be missing for a moment."""
    try:
        yield
    except FileNotFoundError as error:
        raise changed_elsewhere(Path(error.filename or folder)) from error
