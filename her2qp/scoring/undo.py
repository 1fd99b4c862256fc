"""Put back the state before the last run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from her2qp.scoring.records import RunRecords

if TYPE_CHECKING:
    from her2qp.qupath.transaction import Restored


def undo_last_run(project: Path) -> Restored:
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
    from her2qp.qupath.transaction import restore_last

    folder = find_project(project).parent
    restored = restore_last(folder)
    RunRecords(folder).mark_undone(restored.run)
    return restored
