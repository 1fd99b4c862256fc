"""Changing a project so that it holds either the old state or the new one, and can be put back."""

from her2qp.qupath.transaction.backup import Backup, last_backup, list_backups
from her2qp.qupath.transaction.journal import Journal
from her2qp.qupath.transaction.lock import ProjectLock
from her2qp.qupath.transaction.places import PRIVATE_FOLDER
from her2qp.qupath.transaction.restore import Restored, finish_stopped_undo, restore_backup, restore_last
from her2qp.qupath.transaction.run import Transaction

__all__ = [
    "PRIVATE_FOLDER",
    "Backup",
    "Journal",
    "ProjectLock",
    "Restored",
    "Transaction",
    "finish_stopped_undo",
    "last_backup",
    "list_backups",
    "restore_backup",
    "restore_last",
]
