"""The program as a user runs it: exit codes, streams, documents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import contents, run, run_alone


def test_inspect_tells_what_is_there_in_one_json_document(example: Path) -> None:
    done = run("inspect", example / "project", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document) == {"project", "qupath_version", "backend", "images"}
    (image,) = document["images"]
    assert set(image) == {
        "id", "name", "uri", "path", "found", "width", "height", "mpp", "image_type", "annotations", "detections",
        "her2qp", "problems",
    }  # fmt: skip
    assert image["found"] and image["path"] == str(example / "slide ä 1.svs")
    assert (image["width"], image["height"], image["mpp"]) == (3072, 3072, [0.25, 0.25])
    assert (image["annotations"], image["detections"], image["her2qp"]) == ({"Tumor": 1}, 0, None)
    assert image["problems"] == []
    assert contents(example) and not (example / "project" / "her2qp").exists()


def test_score_clear_and_undo_from_the_command_line(example: Path) -> None:
    before = contents(example)
    done = run_alone("score", example / "project", "--backend", "native", "--json", "--report", example / "report.html")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document) >= {"run", "model", "backend", "images"}
    (image,) = document["images"]
    assert image["status"] == "scored" and image["predicted"] in image["probabilities"]
    assert sum(image["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    (region,) = image["regions"]
    assert region["annotation"] == "3b9c8b1e-6c1d-4a57-9d5e-0a4f0e3d9a11" and region["class"] == "Tumor"
    assert region["tiles"] == image["tiles"] > 0 and region["attention_share"] == pytest.approx(1, abs=1e-4)
    assert "artificial" in document["notice"] and "research use only" in document["notice"].lower()
    page = (example / "report.html").read_text(encoding="utf-8")
    assert (
        "esearch use only" in page
        and page.count("data:image/jpeg;base64,") >= 4
        and "http" not in page.split("<body>")[1]
    )
    (example / "report.html").unlink()

    inspected = json.loads(run("inspect", example / "project", "--json").stdout)["images"][0]["her2qp"]
    assert inspected["tiles"] == image["tiles"] and inspected["run"] == document["run"]
    (record,) = (example / "project" / "her2qp" / "runs").glob("*.json")
    assert json.loads(record.read_text(encoding="utf-8"))["images"][0]["objects_added"] == image["tiles"]

    cleared = run("clear", example / "project", "--backend", "native")
    assert cleared.returncode == 0 and f"removed {image['tiles']} tiles" in cleared.stdout
    assert contents(example) == before
    undone = run("undo", example / "project")
    assert undone.returncode == 0 and contents(example) != before
    assert run("undo", example / "project").returncode == 0
    assert contents(example) == before
    nothing = run("undo", example / "project")
    assert nothing.returncode == 2 and "no run" in nothing.stderr


def test_the_second_run_reads_no_pixel(example: Path) -> None:
    first = json.loads(run("score", example / "project", "--backend", "native", "--json").stdout)
    code = (
        "import her2qp.slides.slide as s, her2qp, json, sys\n"
        "def refuse(*a, **k): raise AssertionError('a pixel was read')\n"
        "s.Slide.read_region = s.Slide.read_tiles = s.Slide.overview = refuse\n"
        "r = her2qp.score(sys.argv[1], backend='native')\n"
        "print(json.dumps(r.to_json()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(example / "project")], capture_output=True, text=True, timeout=300, check=True
    )
    second = json.loads(done.stdout)
    assert second["images"][0]["status"] == "scored", second["images"][0]["reason"]
    assert second["images"] == first["images"]


@pytest.mark.parametrize("suffix", ["geojson", "geojson.gz"])
def test_objects_go_out_and_come_back(example: Path, suffix: str) -> None:
    file = example / f"out.{suffix}"
    assert run("export", example / "project", file).returncode == 0
    before = contents(example / "project")
    again = run("import", example / "project", file, "--image", "slide ä 1.svs", "--backend", "native")
    assert again.returncode == 0 and "Added 0" in again.stdout and contents(example / "project") == before


def test_tiles_of_a_result_come_back_after_it_was_cleared(example: Path) -> None:
    project, file = example / "project", example / "out.geojson"
    assert run("score", project, "--backend", "native").returncode == 0
    (tiles,) = (image["her2qp"]["tiles"] for image in json.loads(run("inspect", project, "--json").stdout)["images"])
    assert run("export", project, file).returncode == 0
    assert run("clear", project, "--backend", "native").returncode == 0
    back = run("import", project, file, "--image", "slide ä 1.svs", "--backend", "native")
    assert f"Added {tiles} " in back.stdout, back.stderr
    inspected = run("inspect", project).stdout
    assert f"{tiles} tiles" in inspected and "None" not in inspected


def test_doctor_and_help_and_version_work() -> None:
    assert run_alone("--version").stdout.startswith("her2qp ")
    assert "QuPath" in run("doctor").stdout
    for verb in ("demo", "doctor", "inspect", "score", "clear", "undo", "export", "import", "cohort", "features"):
        assert run(verb, "--help").returncode == 0


def test_help_loads_neither_torch_nor_java_nor_slides() -> None:
    code = (
        "import sys, her2qp, her2qp.cli.verbs\n"
        "heavy = {'torch', 'jpype', 'paquo', 'sklearn', 'tiffslide', 'scipy', 'zarr'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
