"""What is wrong with a project on disk, and putting it right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from her2qp.diagnosis import Finding
from her2qp.errors import Her2qpError

if TYPE_CHECKING:
    from her2qp.qupath.leftovers import Leftover


def examine_project(project: Path, *, repair: bool = False) -> list[Finding]:
    """Look for what crashes left in a project, and put right what can be; see :func:`her2qp.doctor`."""
    from her2qp.qupath.leftovers import find_leftovers, project_folder_of

    folder = project_folder_of(project)
    leftovers = list(find_leftovers(folder))
    findings = list(_repaired(folder, leftovers) if repair else (_found(folder, leftover) for leftover in leftovers))
    return findings or [Finding("project", True, f"{folder}: every file is complete, and nothing is left of a crash")]


def _found(folder: Path, leftover: Leftover) -> Finding:
    advice = f"`her2qp doctor PROJECT --repair`: {leftover.plan}" if leftover.repair is not None else leftover.plan
    return Finding(leftover.path.relative_to(folder).as_posix(), False, leftover.what, advice)


def _repaired(folder: Path, leftovers: list[Leftover]) -> Iterator[Finding]:
    """Repair under the lock of the project, which a journal that cannot be read is in the way of, so that goes first.

    Who takes the lock puts right what her2qp left by itself.
    """
    from her2qp.qupath.transaction import Journal, ProjectLock

    journal = Journal.path_in(folder)
    first = [leftover for leftover in leftovers if leftover.path == journal]
    yield from (_repaired_one(folder, leftover) for leftover in first)
    with ProjectLock(folder, "doctor --repair"):
        yield from (_repaired_one(folder, leftover) for leftover in leftovers if leftover.path != journal)


def _repaired_one(folder: Path, leftover: Leftover) -> Finding:
    if leftover.repair is None:
        return _found(folder, leftover)
    subject = leftover.path.relative_to(folder).as_posix()
    try:
        leftover.repair()
    except Her2qpError as error:
        return Finding(subject, False, f"{leftover.what}. It could not be repaired: {error}")
    return Finding(subject, True, f"{leftover.what}. Repaired. {leftover.plan}")
