"""Put back the state before the last run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from her2qp.scoring.records import RunRecords


@dataclass(frozen=True, slots=True)
class Undone:
    """What was put back.

    Parameters
    ----------
    run, command
        The run that was undone, and what it did.
    files
        Number of files that are as they were before.
    """

    run: str
    command: str
    files: int


def undo_last_run(project: Path) -> Undone:
    """Restore, byte for byte, every file that the last run changed, and note it in the run's record.

    Parameters
    ----------
    project
        A ``.qpproj`` file or its folder.

    Raises
    ------
    RunError
        There is no run to undo.
    ProjectChangedError
        A file is no longer what the run left: restoring it would lose somebody's work. Nothing is restored.
    ProjectLockedError
        Another process works on the project.
    """
    from her2qp.qupath.projectfile import find_project
    from her2qp.qupath.transaction.backup import restore_last

    folder = find_project(project).parent
    restored = restore_last(folder)
    RunRecords(folder).mark_undone(restored.run)
    return Undone(restored.run, restored.command, len(restored.files))
