"""A real QuPath has the project open while a run writes to it, and saves afterwards what it has in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import her2qp

CMU = "CMU-1-Small-Region.svs"

KEEP_OPEN_THEN_SAVE = """
import os, sys
replies = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
from paquo.projects import QuPathProject
with QuPathProject(sys.argv[1], mode="r+") as project:
    print("open", len(project.images), file=replies, flush=True)
    sys.stdin.readline()
    project.java_object.syncChanges()
    print("saved", file=replies, flush=True)
    sys.stdin.readline()
    os._exit(0)
"""


@pytest.mark.qupath
@pytest.mark.usefixtures("qupath_dir")
@pytest.mark.parametrize("golden", ["0.5.1"], indirect=True)
def test_our_tiles_outlive_a_save_of_the_project_and_the_lost_metadata_are_noticed(golden: Path) -> None:
    project = golden / "project"
    command = [sys.executable, "-c", KEEP_OPEN_THEN_SAVE, str(project / "project.qpproj")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as qupath:
        assert qupath.stdin is not None and qupath.stdout is not None
        assert qupath.stdout.readline().startswith("open")
        result = her2qp.score(project, images=[CMU], backend="native")
        assert result.exit_code == 0, result.outcomes
        qupath.stdin.write("save\n")
        qupath.stdin.flush()
        assert qupath.stdout.readline() == "saved\n"
        qupath.stdin.write("leave\n")
        qupath.stdin.flush()
        qupath.wait(60)
    with her2qp.open_project(project, backend="native") as opened:
        entry = opened.image(CMU)
        assert len(entry.tiles()) > 20 and "HER2 run" not in entry.metadata
    (shown,) = [image for image in her2qp.inspect(project)["images"] if image["name"] == CMU]
    assert any(f"the metadata of run {result.run} is gone" in problem for problem in shown["problems"])
