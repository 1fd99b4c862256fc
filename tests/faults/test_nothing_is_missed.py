"""The interposer sees every call that changes a project: strace, which asks the kernel, counts the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

RUNS = """
import json, sys
from faults.interposer import Interposer
import her2qp
import her2qp.scoring.run
project, objects, answer = sys.argv[1:]
answer = open(answer, "w")
watch = Interposer(project)
watch.install()
her2qp.import_objects(project, objects, image="second.svs", backend="native")
her2qp.score(project, images=["second.svs"], backend="native", runtime="eager")
her2qp.clear(project, backend="native")
her2qp.undo(project)
her2qp.doctor(project, repair=True)
json.dump([[call.name, call.path] for call in watch.calls if call.changes], answer)
"""

CHANGING = (
    "open openat creat write pwrite64 writev pwritev fsync fdatasync truncate ftruncate fallocate rename renameat "
    "renameat2 unlink unlinkat rmdir mkdir mkdirat link linkat symlink symlinkat chmod fchmod fchmodat utimensat "
    "sendfile copy_file_range"
)
SAME = {
    "openat": "open", "creat": "open", "unlinkat": "unlink", "remove": "unlink", "rmdir": "unlink", "mkdirat": "mkdir",
    "renameat": "rename", "renameat2": "rename", "replace": "rename", "pwrite64": "pwrite", "utimensat": "utime",
    "fchmodat": "chmod", "linkat": "link", "symlinkat": "symlink", "fallocate": "posix_fallocate",
}  # fmt: skip
"""Names of one thing: Python's and the kernel's; a folder is unlinked by either call."""


@pytest.mark.long
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_kernel_counts_the_same_calls(tmp_path: Path) -> None:
    from faults.study import make_study

    project = make_study(tmp_path / "study").resolve()
    script, trace, answer = tmp_path / "runs.py", tmp_path / "trace", tmp_path / "calls.json"
    script.write_text(RUNS, encoding="utf-8")
    words = [sys.executable, script, project, tmp_path / "study" / "objects.geojson", answer]
    tests, package = Path(__file__).parents[1], Path(__file__).parents[2]
    trace_all = f"trace={CHANGING.replace(' ', ',')}"
    subprocess.run(
        ["strace", "-f", "-y", "-qq", "-xx", "-s", "0", "-o", trace, "-e", trace_all, *words],
        env={**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{package}"},
        check=True,
        timeout=600,
    )
    seen = Counter((SAME.get(name, name), path) for name, path in json.loads(answer.read_text(encoding="utf-8")))
    kernel = Counter(_calls_in(trace.read_text(encoding="ascii"), project))
    assert sum(kernel.values()) > 100
    assert seen == kernel


_PATH = re.compile(r'(?:<((?:\\x..)*)>(?:, )?)?(?:"((?:\\x..)*)")?')
"""An open file; a name; or a name below an open folder."""


def _calls_in(trace: str, folder: Path) -> list[tuple[str, str]]:
    """Name, and file relative to the folder, of every successful or failed call that changes something below it."""
    calls = []
    for line in trace.splitlines():
        found = re.match(r"\d+\s+(\w+)\((.*)", line)
        if found is None:
            continue
        name, arguments = found.groups()
        if name.startswith("open") and not re.search("O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND", arguments):
            continue
        paths = [Path(_text(base), _text(name)) for base, name in _PATH.findall(arguments)]
        below = [path.relative_to(folder).as_posix() for path in paths if path.is_relative_to(folder)]
        if below:
            calls.append((SAME.get(name, name), below[0] if name == "sendfile" else below[-1]))
    return calls


def _text(raw: str) -> str:
    return bytes.fromhex(raw.replace("\\x", "")).decode("utf-8", "surrogateescape")
