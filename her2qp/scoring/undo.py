"""Put back the state before a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from her2qp.errors import RunError
from her2qp.qupath.classlist import CLASS_LIST
from her2qp.scoring.records import RunRecords

if TYPE_CHECKING:
    from her2qp.qupath.transaction import Restored
    from her2qp.qupath.transaction.step import Step


def undo_run(project: Path, run: str | None = None) -> Restored:
    """Restore every file that a run changed, and note it in the run's record.

    Parameters
    ----------
    project
        A ``.qpproj`` file or its folder.
    run
        Id or number of the run; None is the last.

    Raises
    ------
    RunError
        There is no such run to undo.
    ProjectChangedError
        A file is no longer what the run left: restoring it would lose somebody's work. Nothing is restored.
    ProjectLockedError
        Another process works on the project.
    """
    from her2qp.qupath.projectfile import find_project
    from her2qp.qupath.transaction import finish_stopped_undo, restore_backup, restore_last

    folder = find_project(project).parent
    records = RunRecords(folder)

    def note(step: Step, undone: Restored) -> None:
        records.mark_undone(undone.run, keeps_classes=CLASS_LIST not in undone.files, within=step)

    if run is None:
        return restore_last(folder, also=note)
    finished = finish_stopped_undo(folder)
    if finished is not None and _is_meant(run, finished.run):
        return finished
    return restore_backup(folder, _find_run(folder, run), also=note)


def _find_run(folder: Path, run: str) -> str:
    """Id of the run that a user means by its id or number."""
    from her2qp.qupath.transaction import list_backups

    runs = [backup.run_id for backup in list_backups(folder) if backup.has_changes]
    found = [run_id for run_id in runs if _is_meant(run, run_id)]
    if len(found) != 1:
        raise RunError("there is no such run to undo", where=f"run {run}", remedy=f"There are: {', '.join(runs)}.")
    return found[0]


def _is_meant(run: str, run_id: str) -> bool:
    """Whether a user who says `run` means the run of this id."""
    number = run_id.split("-")[0]
    return run in (run_id, number, number.lstrip("0"))
