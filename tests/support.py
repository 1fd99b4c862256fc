"""Helpers of several test files: the program as a user runs it, and a folder's content."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*words: object) -> Done:
    """Run the command line in this process, which has loaded the libraries before; a defect shows as a traceback."""
    from her2qp.cli.verbs import app

    result = CliRunner().invoke(app, list(map(str, words)), prog_name="her2qp")
    unexpected = result.exc_info is not None and not isinstance(result.exception, SystemExit | None)
    defect = "".join(traceback.format_exception(*result.exc_info)) if unexpected else ""
    return Done(result.exit_code, result.stdout, result.stderr + defect)


def run_alone(*words: object, **environment: str) -> Done:
    """Run the command line in a process of its own, as a user's shell does."""
    done = subprocess.run(
        [sys.executable, "-m", "her2qp", *map(str, words)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        timeout=300,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder but those in her2qp's private one."""
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*"))
        if f.is_file() and "her2qp" not in f.relative_to(folder).parts
    }


def content_digests(folder: Path) -> set[str]:
    """Digest of every file's content below a folder, whatever the file is called."""
    return {hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.rglob("*") if f.is_file()}
