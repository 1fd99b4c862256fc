"""Many processes score one project at a time, as on a cluster, and nothing is lost."""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import her2qp
from her2qp.errors import RunError
from her2qp.qupath.transaction import ProjectLock
from tests.clashes.conftest import IMAGES

CONTEXT = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
if sys.platform != "win32":  # each process is one of its own, but the libraries are read once
    CONTEXT.set_forkserver_preload(["her2qp.scoring.run", "her2qp.features.torchscript", "her2qp.models.bundle"])


def score_at_once(project: Path, backend: str, images: list[str]) -> None:
    """One process for each of the images, all at the same time."""
    jobs = [
        CONTEXT.Process(
            target=her2qp.score, args=(project,), kwargs={"images": [image], "backend": backend, "wait_s": 300.0}
        )
        for image in images
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(500)
    assert [job.exitcode for job in jobs] == [0] * len(jobs)


def records(project: Path) -> list[dict[str, Any]]:
    files = sorted((project / "her2qp" / "runs").glob("*.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def found(project: Path) -> dict[str, tuple[str, int, str | None, dict[str, str]]]:
    """Of each image: its annotation's name, number of tiles, number of the run on the annotation, metadata."""
    with her2qp.open_project(project, backend="native") as opened:
        result = {}
        for entry in opened.images:
            (drawn,) = entry.annotations
            run = drawn.measurements.get("HER2 run")
            result[entry.name] = (str(drawn.name), len(entry.tiles()), run, dict(entry.metadata))
        return result


def test_eight_processes_score_eight_images_and_each_run_is_undone_alone(lab: Path, backend: str) -> None:
    untouched = (lab / "project.qpproj").read_bytes()
    score_at_once(lab, backend, [f"patient {i}" for i in range(IMAGES)])

    runs = records(lab)
    assert [run["number"] for run in runs] == list(range(1, IMAGES + 1))
    assert sorted(run["images"][0]["name"] for run in runs) == [f"patient {i}" for i in range(IMAGES)]
    assert {run["images"][0]["status"] for run in runs} == {"scored"}
    by_image = {run["images"][0]["name"]: run for run in runs}
    for i, (name, (drawn, tiles, number, metadata)) in enumerate(found(lab).items()):
        assert (drawn, tiles) == (f"drawn {i}", by_image[name]["images"][0]["tiles"])
        assert number == by_image[name]["number"]
        assert metadata["patient"] == f"P-{i}" and metadata["HER2 run"] == by_image[name]["run"]
    with her2qp.open_project(lab, backend="native") as project:
        listed = [str(c) for c in project.path_classes]
    assert [c for c in listed if c.startswith("HER2")] == ["HER2 0", "HER2 1+", "HER2 2+", "HER2 3+"]

    third = by_image["patient 3"]
    assert her2qp.undo(lab, run=str(third["number"])).run == third["run"]
    after = found(lab)
    assert after["patient 3"] == ("drawn 3", 0, None, {"patient": "P-3"})
    assert [tiles > 0 for _, tiles, _, _ in after.values()] == [name != "patient 3" for name in after]
    with pytest.raises(RunError, match="no such run"):
        her2qp.undo(lab, run=str(third["number"]))
    for _ in range(IMAGES - 1):
        her2qp.undo(lab)
    assert (lab / "project.qpproj").read_bytes() == untouched
    assert all(tiles == 0 for _, tiles, _, _ in found(lab).values())


def test_runs_on_the_same_image_take_turns(lab: Path, backend: str) -> None:
    score_at_once(lab, backend, ["patient 0"] * 3)
    runs = records(lab)
    tiles = [run["images"][0]["tiles"] for run in runs]
    assert [run["number"] for run in runs] == [1, 2, 3] and len(set(tiles)) == 1
    drawn, present, number, metadata = found(lab)["patient 0"]
    last = next(run for run in runs if run["number"] == number)
    assert (drawn, present, metadata["HER2 run"]) == ("drawn 0", tiles[0], last["run"])
    assert sorted(run["images"][0]["objects_removed"] for run in runs) == [0, tiles[0], tiles[0]]
    assert her2qp.inspect(lab)["images"][0]["problems"] == []


def test_a_run_waits_as_long_as_it_was_told_to(lab: Path) -> None:
    held = ProjectLock(lab, "score", part="image 1")
    with held:
        (failed,) = her2qp.score(lab, images=["patient 0"], backend="native").outcomes
        assert "image 1 is in use by her2qp score (" in failed.reason
        waiting = threading.Thread(
            target=her2qp.score, args=(lab,), kwargs={"images": ["patient 0"], "backend": "native", "wait_s": 60.0}
        )
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive()
    waiting.join(60)
    assert found(lab)["patient 0"][1] > 0
