"""Locks that a process left behind, here or on another computer, and a journal that nobody can read."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support import contents, run

import her2qp
from her2qp.errors import ProjectLockedError

DEAD = {"command": "score", "user": "anna", "since": "2026-11-20T22:14:03+00:00"}


def dead_pid() -> int:
    """Number of a process that has just ended."""
    return int(subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True).stdout)


def leave_lock(project: Path, host: str) -> Path:
    file = project / "her2qp" / "lock.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({**DEAD, "host": host, "pid": dead_pid()}))
    return file


def clear(project: Path) -> None:
    her2qp.clear(project, backend="native")


def test_another_computers_lock_is_never_broken(example: Path) -> None:
    project = example / "project"
    file = leave_lock(project, "ward-7")
    before = contents(example)
    for change in (lambda: clear(project), lambda: her2qp.doctor(project, repair=True)):
        with pytest.raises(ProjectLockedError, match="ward-7") as refused:
            change()
        assert "anna" in str(refused.value) and "2026-11-20" in str(refused.value)
        assert str(file) in str(refused.value.remedy), "it says what a person can do"
    (finding,) = her2qp.doctor(project)
    assert not finding.ok and "never does so by itself" in finding.remedy
    assert file.exists() and contents(example) == before
    file.unlink()
    clear(project)


def test_a_dead_process_of_this_computer_is_no_hindrance(example: Path, caplog: pytest.LogCaptureFixture) -> None:
    project = example / "project"
    file = leave_lock(project, socket.gethostname())
    (finding,) = her2qp.doctor(project)
    assert not finding.ok and "stopped half way" in finding.detail and "--repair" in finding.remedy
    clear(project)
    assert not file.exists()
    assert "stopped half way" in caplog.text
    leave_lock(project, socket.gethostname())
    assert all(finding.ok for finding in her2qp.doctor(project, repair=True))
    assert not file.exists()


@pytest.mark.parametrize("journal", ["", "[]", '{"changes": [{"path": "../elsewhere", "before": "a", "after": "b"}]}'])
def test_a_journal_that_cannot_be_read_stops_everything_until_it_is_put_aside(example: Path, journal: str) -> None:
    project = example / "project"
    (project / "her2qp").mkdir(exist_ok=True)
    (project / "her2qp" / "journal.json").write_text(journal)
    before = contents(example)
    refused = run("clear", project, "--backend", "native")
    text = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode in (1, 2) and "doctor PROJECT --repair" in text and "Traceback" not in text
    assert contents(example) == before
    assert all(finding.ok for finding in her2qp.doctor(project, repair=True))
    assert [f.read_text() for f in (project / "her2qp").glob("journal.json.leftover-*")] == [journal]
    clear(project)
