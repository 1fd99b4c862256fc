"""What a crash left in a project, what it means, and how it is put right without losing a byte.

QuPath saves an image by renaming ``data.qpdata`` to ``data.qpdata.bkp``, writing anew and removing the copy, and a
project by way of ``.qpproj.tmp`` and ``.qpproj.backup``. If it dies in between, the next QuPath may open the image
empty, without a word. Every file that is replaced or in the way here is kept under a name of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from her2qp.errors import Her2qpError, ProjectFormatError, ProjectNotFoundError, UnsupportedDataError
from her2qp.qupath.classlist import CLASS_LIST, parse_class_list
from her2qp.qupath.jsonfile import read_bounded
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.projectfile import ProjectFile
from her2qp.qupath.transaction.disk import access_errors, keep_copy, replace, write_atomically
from her2qp.qupath.transaction.journal import Journal
from her2qp.qupath.transaction.places import private_folder
from her2qp.qupath.transaction.remains import is_held, left_holders

_SAVING = (".backup", ".tmp")
"""What QuPath appends to the name of a ``.qpproj`` while it saves it."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that a crash left behind.

    Parameters
    ----------
    path
        The file that it is about.
    what
        What is wrong, in a sentence without a full stop.
    plan
        What :attr:`repair` does; without one, what a person can do.
    repair
        Puts it right; None where only a person can.
    """

    path: Path
    what: str
    plan: str
    repair: Callable[[], None] | None = None


def project_folder_of(path: Path) -> Path:
    """The folder of a project, even of one whose ``.qpproj`` is missing.

    Raises
    ------
    ProjectNotFoundError
        There is no project, nor what a crash leaves of one.
    """
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir() or not _project_files(folder):
        raise ProjectNotFoundError("there is no QuPath project, nor what is left of one", where=path)
    return folder


def find_leftovers(project_folder: Path) -> Iterator[Leftover]:
    """Look through a project for what a crash of QuPath or of her2qp left; reads every data file to its end.

    Parameters
    ----------
    project_folder
        Folder of the project.

    Raises
    ------
    ProjectAccessError
        A file cannot be read.
    """
    with access_errors(project_folder):
        yield from _of_her2qp(project_folder)
        for path in _project_files(project_folder):
            yield from _of_project_file(project_folder, path)
        yield from _of_class_list(project_folder, project_folder / CLASS_LIST)
        folders = (project_folder / "data").glob("[0-9]*")
        for folder in sorted((f for f in folders if f.name.isdigit()), key=lambda folder: int(folder.name)):
            yield from _of_data_file(project_folder, folder / "data.qpdata")


def _project_files(folder: Path) -> list[Path]:
    """Every ``.qpproj`` that is there, or was before a crash."""
    names = {path.name for path in folder.glob("*.qpproj")}
    names |= {path.stem for suffix in _SAVING for path in folder.glob(f"*.qpproj{suffix}")}
    return [folder / name for name in sorted(names)]


def _of_her2qp(folder: Path) -> Iterator[Leftover]:
    journal = Journal.path_in(folder)
    if is_held(private_folder(folder) / "lock"):
        return
    try:
        if Journal.read(folder) is not None:
            what = "a run was stopped while it put its result in place"
            yield Leftover(journal, what, "Finishes the change, or takes it back.", _by_taking_the_lock)
    except ProjectFormatError as error:
        yield _in_the_way(journal, error.what)
    for file, holder in left_holders(folder):
        if holder.is_here:
            plan = "Removes what it had not finished; what it had finished is kept."
            yield Leftover(file, f"{holder} was stopped half way", plan, _by_taking_the_lock)
        else:
            plan = "If it does not run there any more, delete this file. her2qp never does so by itself."
            yield Leftover(file, f"{holder} works on the project, or died", plan)


def _by_taking_the_lock() -> None:
    """Who takes the lock of the project puts these things right first."""


def _of_project_file(folder: Path, path: Path) -> Iterator[Leftover]:
    previous, unfinished = (path.with_name(path.name + suffix) for suffix in _SAVING)
    problem, what = _problem(path, ProjectFile.read), "the project file is complete"
    if problem is not None:
        what = f"the project file {problem}"
        if _problem(unfinished, ProjectFile.read) is None:
            state = "its newest state, which QuPath was about to put there"
            yield _put_in_place(path, unfinished, what, state, move=True)
            return
        others = [p for p in (previous, *_our_copies(folder, path)) if _problem(p, ProjectFile.read) is None]
        newest = max(others, key=lambda copy: copy.stat().st_mtime, default=None)
        yield _no_copy(path, what) if newest is None else _put_in_place(path, newest, what, _state_of(newest))
    if unfinished.exists():
        yield _in_the_way(unfinished, f"QuPath was stopped while it saved the project; {what}")


def _of_class_list(folder: Path, path: Path) -> Iterator[Leftover]:
    def read(copy: Path) -> None:
        parse_class_list(read_bounded(copy), where=copy)

    problem = _problem(path, read) if path.exists() else None
    if problem is None:
        return
    good = next((copy for copy in _our_copies(folder, path) if _problem(copy, read) is None), None)
    if good is not None:
        yield _put_in_place(path, good, f"the class list {problem}", _state_of(good))
    else:
        yield _in_the_way(path, f"the class list {problem}; QuPath makes a new one, and no object loses its class")


def _of_data_file(folder: Path, path: Path) -> Iterator[Leftover]:
    copy = path.with_name(path.name + ".bkp")
    if not path.exists() and not copy.exists():
        return
    try:
        problem = _problem(path, QpData.read)
        if problem is None and not copy.exists():
            return
        problem_of_copy = _problem(copy, QpData.read)
    except UnsupportedDataError as error:
        if copy.exists():
            yield Leftover(copy, f"QuPath did not finish saving the image ({error.what})", "Open it in that QuPath.")
        return
    if problem is None:
        yield _in_the_way(copy, _superseded(path, copy, problem_of_copy))
        return
    what = f"the data of image {path.parent.name} {problem}"
    if problem_of_copy is None:
        state = "the state before the save that QuPath did not finish"
        yield _put_in_place(path, copy, what, f"{state}, with {_count(copy)} objects", move=True)
        return
    good = next((kept for kept in _our_copies(folder, path) if _problem(kept, QpData.read) is None), None)
    if good is not None:
        since = "what was saved after it is not in it"
        yield _put_in_place(path, good, what, f"{_state_of(good)}, with {_count(good)} objects ({since})")
    else:
        yield _no_copy(path, what)
    if copy.exists():
        yield _in_the_way(copy, f"the copy of the state before {problem_of_copy}")


def _superseded(path: Path, copy: Path, problem_of_copy: str | None) -> str:
    """What to say of a copy whose successor is complete."""
    what = "QuPath was stopped after it saved the image and before it removed the copy of the state before"
    if problem_of_copy is not None:
        return what
    missing = len(QpData.read(copy).ids() - QpData.read(path).ids())
    return f"{what}; the copy holds {missing} objects that the image no longer has" if missing else what


def _problem(path: Path, read: Callable[[Path], object]) -> str | None:
    """Why a file is of no use, None if it is sound.

    Raises
    ------
    UnsupportedDataError
        It is of a format that only a newer program can judge.
    """
    if not path.exists():
        return "is missing"
    try:
        read(path)
    except UnsupportedDataError:
        raise
    except Her2qpError as error:
        return f"is damaged ({error.what})"
    return None


def _our_copies(project_folder: Path, path: Path) -> list[Path]:
    """Copies of a file in the backups of her2qp's runs, newest first."""
    runs = private_folder(project_folder, "backups").glob("*")
    found = [run / path.relative_to(project_folder) for run in runs]
    return sorted((copy for copy in found if copy.is_file()), key=lambda copy: copy.stat().st_mtime, reverse=True)


def _count(path: Path) -> int:
    return sum(QpData.read(path).count().values())


def _state_of(path: Path) -> str:
    return time.strftime("its state of %Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))


# --- putting right ---


def _no_copy(path: Path, what: str) -> Leftover:
    return Leftover(path, f"{what}, and there is no good copy of it", "Take it from a backup of your own.")


def _put_in_place(path: Path, source: Path, what: str, state: str, *, move: bool = False) -> Leftover:
    kept = " The damaged file is kept beside it." if path.exists() else ""
    plan = f"Puts {source.name} in its place: {state}.{kept}"
    return Leftover(path, what, plan, partial(_restore, path, source, move=move))


def _restore(path: Path, source: Path, *, move: bool) -> None:
    with access_errors(path):
        if path.exists():
            keep_copy(path, _free_name(path, "damaged"))
        if move:
            replace(source, path)
        else:
            write_atomically(path, lambda temporary: temporary.write_bytes(source.read_bytes()))


def _in_the_way(path: Path, what: str) -> Leftover:
    return Leftover(path, what, "Renames it, so that nothing takes it for more.", partial(_put_aside, path))


def _put_aside(path: Path) -> None:
    with access_errors(path):
        replace(path, _free_name(path, "leftover"))


def _free_name(path: Path, word: str) -> Path:
    """A name beside `path` that nothing has, by which a person sees what it is and of when."""
    stem = path.with_name(f"{path.name}.{word}-{time.strftime('%Y%m%dT%H%M%S')}")
    names = (stem, *(stem.with_name(f"{stem.name}-{i}") for i in range(2, 1000)))
    free = next((name for name in names if not name.exists()), None)
    if free is None:
        raise ProjectFormatError("too many copies of this file have been kept already", where=path)
    return free
