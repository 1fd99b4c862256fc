"""Who holds, or held, a lock: a small file beside it, for others to read."""

from __future__ import annotations

import getpass
import json
import os
import socket
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from her2qp.qupath.transaction.disk import access_errors


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, as in some containers
        return "an unnamed user"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lock; by default this one, from now.

    Parameters
    ----------
    command
        What it is doing.
    user, host, pid, since
        Whose process it is, on which computer, its number there, and since when, as ISO 8601 text.
    """

    command: str
    user: str = field(default_factory=_user)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    since: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __str__(self) -> str:
        return f"her2qp {self.command} ({self.user}, process {self.pid} on {self.host}) since {self.since}"

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, a process of this computer."""
        return self.host == socket.gethostname()

    @classmethod
    def read(cls, path: Path) -> Holder | None:
        """Read who a file names; None where there is no such file, or it is just being written."""
        try:
            found = json.loads(path.read_text(encoding="utf-8")[:4096])
            command, user, host, since = (str(found[name]) for name in ("command", "user", "host", "since"))
            return cls(command, user, host, int(found["pid"]), since)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the file.

        Raises
        ------
        ProjectAccessError
            It cannot be written.
        """
        with access_errors(path):
            path.write_text(json.dumps(asdict(self)), encoding="utf-8")
