"""What a process of her2qp that died left of its own: files it had not finished, and the locks it had taken."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from her2qp.qupath.transaction.disk import TEMPORARY_SUFFIX
from her2qp.qupath.transaction.holder import Holder
from her2qp.qupath.transaction.journal import previous_folder
from her2qp.qupath.transaction.places import private_folder

_log = logging.getLogger(__name__)


def left_holders(project_folder: Path) -> list[tuple[Path, Holder]]:
    """Files that name who took a lock that nobody holds any more, with whom they name."""
    folder = private_folder(project_folder)
    files = [folder / "lock.json", *sorted((folder / "locks").glob("*.json"))]
    named = [(file, holder) for file in files if (holder := Holder.read(file)) is not None]
    return [(file, holder) for file, holder in named if not is_held(file.with_name(file.name.removesuffix(".json")))]


def is_held(lock_file: Path) -> bool:
    """Whether a process holds a lock, or may: one that cannot be looked at is left alone."""
    try:
        if not lock_file.exists():
            return False
        with FileLock(lock_file, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def tidy(project_folder: Path, predecessor: Holder | None = None) -> None:
    """Remove what processes of this computer that died had not finished, and say so; whole files are never touched.

    What a process elsewhere left is not touched: it may still be at work.

    Parameters
    ----------
    project_folder
        Folder of the project, whose lock the caller holds.
    predecessor
        Who died holding that lock.
    """
    shutil.rmtree(previous_folder(project_folder), ignore_errors=True)
    dead = [(file, holder) for file, holder in left_holders(project_folder) if holder.is_here]
    if not dead and predecessor is None:
        return
    for path in list(unfinished_files(project_folder)):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            if path.parent.parent == project_folder / "data" and not any(path.parent.iterdir()):
                path.parent.rmdir()
    _remove_unlisted_backups(private_folder(project_folder))
    for file, _ in dead:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
            file.with_name(file.name.removesuffix(".json")).unlink(missing_ok=True)
    for holder in dict.fromkeys([*(holder for _, holder in dead), *([predecessor] if predecessor else [])]):
        _log.warning("%s: %s was stopped half way; what it had finished is kept", project_folder, holder)


def unfinished_files(project_folder: Path) -> Iterator[Path]:
    """Files that nobody is writing any more and nothing reads."""
    private = private_folder(project_folder)
    locks = private / "locks"
    pattern = f"*{TEMPORARY_SUFFIX}"
    yield from project_folder.glob(pattern)
    yield from (project_folder / "classifiers").glob(pattern)
    for path in (project_folder / "data").glob(f"*/{pattern}"):
        if not is_held(locks / f"image-{path.parent.name}"):
            yield path
    for path in private.rglob("*"):
        if path.name.endswith((TEMPORARY_SUFFIX, ".tmp")):
            parts = path.relative_to(private).parts
            run = parts[1] if parts[0] == "backups" else path.name.partition(".")[0]
            if not is_held(locks / f"run-{run}"):
                yield path


def _remove_unlisted_backups(private: Path) -> None:
    """Remove backups that have no manifest: not begun, or of a run that was undone."""
    for folder in (private / "backups").glob("*"):
        if not (folder / "manifest.json").exists() and not is_held(private / "locks" / f"run-{folder.name}"):
            shutil.rmtree(folder, ignore_errors=True)
