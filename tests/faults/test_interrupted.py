"""A run that is killed, or meets an error, at any of its calls leaves the old state or the new one, and all of hers.

A sample of the points of ``harness.py``, whose long version tries all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("harness.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("store", ["native", pytest.param("paquo", marks=pytest.mark.qupath)])
def test_a_sample_of_interruptions_loses_nothing(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if store == "paquo":
        request.getfixturevalue("qupath_dir")
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(HARNESS), "--stores", store, "--sample", "480", "--json", str(figures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    groups = json.loads(figures.read_text(encoding="utf-8"))["groups"]
    assert {name.split()[0] for name in groups} == {store}
    assert {name.split()[1] for name in groups} == {"score", "clear", "undo", "import"}
    assert all(not group["problems"] for group in groups.values())
    assert sum(group["points"] for group in groups.values()) >= 10
