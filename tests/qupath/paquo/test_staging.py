"""Copies of an image's data do not outlive the process that made them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from her2qp.qupath.paquo.staging import staging

WORK = """
import os, signal, sys
from her2qp.qupath.paquo.staging import staging
with staging() as folder:
    (folder / "data.qpdata").write_bytes(b"of a patient")
    print(folder, flush=True)
    sys.stdin.readline()
    os.abort()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_killed_process_leaves_its_copy_only_until_the_next_one(temporary: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().decode().strip())
        with staging():
            assert (left / "data.qpdata").exists(), "it belongs to a process that is alive"
        other.kill()
        other.wait()
    assert (left / "data.qpdata").exists()
    with staging() as own:
        assert not left.exists() and own.exists()
        assert own.stat().st_mode & 0o077 == 0 or sys.platform == "win32"
    assert list(temporary.iterdir()) == []


def test_nothing_is_left_after_a_failure(temporary: Path) -> None:
    with pytest.raises(ValueError, match="QuPath failed"), staging() as folder:
        (folder / "data.qpdata").write_bytes(b"of a patient")
        raise ValueError("QuPath failed")
    assert list(temporary.iterdir()) == []
