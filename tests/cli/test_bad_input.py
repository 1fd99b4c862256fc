"""Bad input: one clear sentence, the right exit code, nothing changed on disk, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import contents, run

from her2qp.qupath.transaction import ProjectLock

SLIDE = "slide ä 1.svs"


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def qpproj(example: Path) -> Path:
    return example / "project" / "project.qpproj"


def qpdata(example: Path) -> Path:
    return example / "project" / "data" / "1" / "data.qpdata"


def expect_refusal(example: Path, code: int, sentence: str, *words: object, project: Path | None = None) -> None:
    """Run `score` and expect a refusal that changes nothing."""
    before = contents(example)
    done = run("score", project or example / "project", "--backend", "native", *words)
    text = done.stdout + done.stderr
    assert "Traceback" not in text
    assert done.returncode == code, text
    assert sentence.lower() in " ".join(text.lower().split()), text
    assert contents(example) == before


def test_no_such_project(example: Path) -> None:
    expect_refusal(example, 2, "no such", project=example / "nowhere")


def test_a_folder_without_a_project(example: Path) -> None:
    (example / "empty").mkdir()
    expect_refusal(example, 2, "no QuPath project", project=example / "empty")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": 3}', "not json", "\x00\x01"])
def test_json_that_is_not_a_project(example: Path, text: str) -> None:
    qpproj(example).write_text(text)
    expect_refusal(example, 2, "project.qpproj")


def test_a_project_without_images(example: Path) -> None:
    edit_json(qpproj(example), lambda d: d.update(images=[]))
    expect_refusal(example, 2, "no image")


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"garbage" * 30, lambda b: b"", lambda b: b + b"x"]
)
def test_damaged_data_is_refused_and_left_alone(example: Path, damage: Callable[[bytes], bytes]) -> None:
    qpdata(example).write_bytes(damage(qpdata(example).read_bytes()))
    expect_refusal(example, 1, "data.qpdata")


def test_an_unknown_server_builder(example: Path) -> None:
    edit_json(qpproj(example), lambda d: d["images"][0]["serverBuilder"].update(builderType="hologram"))
    expect_refusal(example, 1, "hologram")


@pytest.mark.parametrize("kind", ["rotated", "cropped", "flipped"])
def test_a_rotated_or_cropped_image(example: Path, kind: str) -> None:
    def wrap(document: Any) -> None:
        image = document["images"][0]
        image["serverBuilder"] = {"builderType": kind, "builder": image["serverBuilder"]}

    edit_json(qpproj(example), wrap)
    expect_refusal(example, 1, kind)


def test_a_missing_slide(example: Path) -> None:
    (example / SLIDE).unlink()
    expect_refusal(example, 1, "not found")


def test_a_truncated_slide(example: Path) -> None:
    slide = example / SLIDE
    slide.write_bytes(slide.read_bytes()[:3000])
    expect_refusal(example, 1, SLIDE.lower())


def test_a_slide_of_another_size(example: Path) -> None:
    edit_json(qpproj(example), lambda d: d["images"][0]["serverBuilder"]["metadata"].update(width=3000))
    expect_refusal(example, 1, "3000")


def calibrate(example: Path, width: float, height: float, unit: str = "µm") -> None:
    pixel = {"pixelWidth": {"value": width, "unit": unit}, "pixelHeight": {"value": height, "unit": unit}}
    edit_json(qpproj(example), lambda d: d["images"][0]["serverBuilder"]["metadata"]["pixelCalibration"].update(pixel))


@pytest.mark.parametrize(("width", "height"), [(0.25, 0.3), (352.8, 352.8), (0.001, 0.001)])
def test_an_absurd_pixel_size(example: Path, width: float, height: float) -> None:
    calibrate(example, width, height)
    expect_refusal(example, 1, "--mpp")


def test_the_projects_pixel_size_beats_the_files_and_mpp_beats_both(example: Path) -> None:
    def tiles(*words: object) -> int:
        done = run("score", example / "project", "--dry-run", "--json", *words)
        return int(json.loads(done.stdout)["images"][0]["tiles"])

    as_it_is = tiles()
    assert tiles("--mpp", "0.25") == as_it_is
    calibrate(example, 0.5, 0.5)
    larger = tiles()
    assert larger > 2 * as_it_is
    assert tiles("--mpp", "0.25") == as_it_is


def test_no_annotations(example: Path) -> None:
    qpdata(example).unlink()
    expect_refusal(example, 2, "no tumour annotation")


def test_a_class_that_does_not_exist(example: Path) -> None:
    expect_refusal(example, 2, "no annotation has the class 'Tumour'", "--class", "Tumour")


def test_an_image_name_that_matches_nothing(example: Path) -> None:
    expect_refusal(example, 2, "no image is named like", "--image", "x*")


def redraw(example: Path, geometry: object) -> None:
    import her2qp
    from her2qp.qupath.classes import PathClass
    from her2qp.qupath.edits import HierarchyEdit
    from her2qp.qupath.objects import ObjectType, PathObject, Roi, RoiKind

    with her2qp.open_project(example / "project", mode="r+", backend="native") as project:
        entry = project.images[0]
        (old,) = entry.annotations
        new = PathObject(old.id, ObjectType.ANNOTATION, Roi(RoiKind.POLYGON, geometry), PathClass(("Tumor",), -1))  # type: ignore[arg-type]
        entry.edit(HierarchyEdit(remove=frozenset({old.id})))
        entry.save()
        entry.edit(HierarchyEdit(add_objects=(new,)))
        entry.save()


def test_an_annotation_outside_the_slide(example: Path) -> None:
    import shapely

    redraw(example, shapely.Polygon([(9000, 9000), (9900, 9000), (9900, 9900)]))
    expect_refusal(example, 2, "outside")


def test_an_annotation_without_area(example: Path) -> None:
    import shapely

    redraw(example, shapely.Polygon([(100, 100), (900, 100), (500, 100)]))
    expect_refusal(example, 2, "area")


def test_a_polygon_that_crosses_itself_is_scored_as_what_it_covers(example: Path) -> None:
    import shapely

    redraw(example, shapely.Polygon([(200, 200), (2800, 2800), (2800, 200), (200, 2800)]))
    done = run("score", example / "project", "--backend", "native", "--json")
    assert done.returncode == 0, done.stderr
    (image,) = json.loads(done.stdout)["images"]
    assert image["tiles"] > 0 and "crosses itself" in " ".join(image["notes"])


def test_a_damaged_bundle(example: Path) -> None:
    bundle = example / "bundle"
    bundle.mkdir()
    (bundle / "config.json").write_text("{}")
    expect_refusal(example, 2, "bundle", "--model", bundle)
    expect_refusal(example, 2, "bundle", "--model", example / "no-bundle")


def test_a_bundle_of_another_extractor(example: Path) -> None:
    from her2qp.models.bundle import DEMO_FOLDER

    copy = example / "other"
    copy.mkdir()
    for file in DEMO_FOLDER.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    edit_json(copy / "config.json", lambda d: d["features"].update(mpp=0.25))
    expect_refusal(example, 2, "other features", "--model", copy)


def test_a_crashed_save_of_qupath(example: Path) -> None:
    data = qpdata(example)
    data.with_name("data.qpdata.bkp").write_bytes(data.read_bytes())
    expect_refusal(example, 1, "did not finish")


def test_an_image_that_another_run_works_on(example: Path) -> None:
    with ProjectLock(example / "project", "score", part="image 1"):
        expect_refusal(example, 1, f"process {os.getpid()}")


def test_a_full_disk(example: Path) -> None:
    """Every write beyond a small file size fails, as on a full disk."""
    before = contents(example)
    code = (
        "import resource, signal, sys\n"
        "from her2qp.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "sys.argv[1:] = ['score', sys.argv[1], '--backend', 'native']\n"
        "main()\n"
    )
    if sys.platform == "win32":
        pytest.skip("needs file size limits")
    done = subprocess.run(
        [sys.executable, "-c", code, str(example / "project")], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr, done.stderr
    assert contents(example) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user who is not root")
def test_a_read_only_project(example: Path) -> None:
    (example / "project").chmod(0o555)
    try:
        expect_refusal(example, 2, "cannot be written")
    finally:
        (example / "project").chmod(0o755)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"type": "Feature"}', "GIF89a"])
def test_geojson_that_is_not(example: Path, text: str) -> None:
    file = example / "objects.geojson"
    file.write_text(text)
    before = contents(example)
    done = run("import", example / "project", file, "--image", SLIDE, "--backend", "native")
    assert done.returncode == 2 and "Traceback" not in done.stderr and "objects.geojson" in done.stderr
    assert contents(example) == before


def expect_sentence(example: Path, sentence: str, *words: object) -> None:
    """Run a verb and expect it to refuse its input in one sentence and to change nothing."""
    before = contents(example)
    done = run(*words)
    text = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, text
    assert "Traceback" not in text
    assert sentence in text
    assert contents(example) == before


def test_a_report_or_table_over_a_file_of_another_kind(example: Path) -> None:
    labels = example / "labels.csv"
    labels.write_text(f"slide_id,HER2\n{SLIDE},3+\n")
    cohort = ("cohort", example / "project", qpproj(example), "--labels", labels)
    expect_sentence(example, "its name ends in .html", "score", example / "project", "--report", example / SLIDE)
    expect_sentence(example, "project.qpproj: the table is CSV", *cohort)
    expect_sentence(example, "table of the labels itself", "cohort", example / "project", labels, "--labels", labels)


def test_places_to_export_to(example: Path) -> None:
    export = ("export", example / "project")
    expect_sentence(example, "ends in neither .geojson nor .csv", *export, qpproj(example))
    expect_sentence(example, "ends in .csv, but what is written is geojson", *export, example / "x.csv")
    expect_sentence(
        example, "ends in .json, but what is written is csv", *export, example / "x.json", "--format", "csv"
    )
    expect_sentence(example, "its folder does not exist", *export, example / "nowhere" / "x.geojson")
    expect_sentence(example, "File name too long", *export, example / ("x" * 300 + ".csv"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written(example: Path) -> None:
    words = [sys.executable, "-m", "her2qp", "inspect", str(example / "project"), "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "her2qp: the output: No space left on device" in done.stderr and "Traceback" not in done.stderr


def test_another_file_in_the_place_of_the_project(example: Path) -> None:
    expect_sentence(example, "not a QuPath project (.qpproj)", "inspect", example / SLIDE)
    expect_sentence(example, "not a QuPath project (.qpproj)", "score", qpdata(example))


def test_waiting_for_no_number_of_seconds(example: Path) -> None:
    file = example / "objects.geojson"
    file.write_text("[]")
    for seconds in ("nan", "-1"):
        words = (example / "project", file, "--image", SLIDE, "--wait", seconds)
        expect_sentence(example, "a number of seconds, 0 or more", "import", *words)


def test_a_plane_beyond_any_stack(example: Path) -> None:
    file = example / "objects.geojson"
    file.write_text('{"type": "Point", "coordinates": [1, 1], "plane": {"c": -1, "z": 1000000000000, "t": 0}}')
    words = (example / "project", file, "--image", SLIDE, "--backend", "native")
    expect_sentence(example, "a plane must have", "import", *words)


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_a_link_to_a_project_stands_for_the_project(example: Path) -> None:
    link = example / "elsewhere" / "link.qpproj"
    link.parent.mkdir()
    link.symlink_to(qpproj(example))
    done = run("score", link, "--backend", "native")
    assert done.returncode == 0, done.stderr
    assert link.is_symlink() and [*link.parent.iterdir()] == [link]


def test_an_error_is_json_where_json_was_asked_for(example: Path) -> None:
    done = run("score", example / "nowhere", "--json")
    assert done.returncode == 2
    assert set(json.loads(done.stdout)) == {"error", "type"}


def test_a_name_that_a_terminal_would_obey(example: Path) -> None:
    edit_json(qpproj(example), lambda project: project["images"][0].update(imageName="\x1b]0;mine\x07\x9b31mname"))
    for words in (
        ("inspect", example / "project"),
        ("score", example / "project", "--image", "\x1b[2J"),
        ("score", example / "project", "--dry-run"),
        ("export", example / "project", example / "objects"),
        ("clear", example / "project"),
        ("import", example / "project", example / "none.geojson", "--image", "\x9bname"),
    ):
        done = run(*words)
        text = done.stdout + done.stderr
        assert "name" in text or "2J" in text
        assert not set(text) & {*map(chr, range(0x0A)), *map(chr, range(0x0E, 0x20)), *map(chr, range(0x7F, 0xA0))}
