"""The ``.qpproj`` file: kept whole, merged into, and refused where QuPath could not open it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from her2qp.errors import ProjectChangedError, ProjectFormatError, ProjectNotFoundError
from her2qp.qupath.calibration import PixelCalibration
from her2qp.qupath.classes import PathClass
from her2qp.qupath.classlist import CLASS_LIST, merge_class_list, parse_class_list
from her2qp.qupath.projectfile import ProjectFile, find_project
from her2qp.qupath.serverbuilder import nested_uri_builders, with_uris

_TUMOR, _STROMA = PathClass(("Tumor",), -3670016), PathClass(("Stroma",), -6895466)


def _document(**changes: object) -> bytes:
    image = {"entryID": 1, "imageName": "a", "metadata": {"k": "1"}, "tags": ["t"], "unknown": 1}
    return json.dumps({"version": "0.6.0", "lastID": 7, "images": [image], "future": {"x": 1}, **changes}).encode()


def test_golden_files_are_rewritten_byte_for_byte(golden: Path) -> None:
    for name in ("project.qpproj", "project.qpproj.backup"):
        path = golden / "project" / name
        assert ProjectFile.read(path).to_bytes() == path.read_bytes()


def test_merging_metadata_keeps_everything_else() -> None:
    file = ProjectFile.from_bytes(Path("p"), _document())
    file.image(1)["metadata"]["by someone else"] = "meanwhile"
    file.merge_metadata(1, {"k": "1", "gone": "x"}, {"k": "2", "new": "3"})
    expected = json.loads(_document())
    expected["images"][0]["metadata"] = {"k": "2", "by someone else": "meanwhile", "new": "3"}
    assert json.loads(file.to_bytes()) == expected


def test_a_new_image_never_reuses_an_id() -> None:
    file = ProjectFile.from_bytes(Path("p"), _document())
    assert file.add_image({}, name="b", description=None, metadata={}) == 8
    file.images.pop()
    assert file.add_image({}, name="c", description="d", metadata={}) == 9


def test_an_entry_that_is_gone_or_ambiguous_is_not_merged_into() -> None:
    file = ProjectFile.from_bytes(Path("p"), _document())
    with pytest.raises(ProjectChangedError, match="no longer"):
        file.merge_metadata(2, {}, {"a": "b"})
    file.images.append(dict(file.images[0]))
    assert file.shared_ids() == {1}
    with pytest.raises(ProjectChangedError, match="not the only one"):
        file.merge_metadata(1, {}, {"a": "b"})


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{}",
        b"12",
        _document(version="v0.2.0-m1"),
        _document(images={}),
        _document(images=[3]),
        _document(images=[{"entryID": "../../etc"}]),
        _document(images=[{"entryID": -1}]),
        _document(images=[{"entryID": 1.5}]),
        _document(images=[{"entryID": True}]),
        _document(images=[{"entryID": 2**63}]),
    ],
)
def test_what_qupath_could_not_open_is_refused(data: bytes) -> None:
    with pytest.raises(ProjectFormatError):
        ProjectFile.from_bytes(Path("p"), data)


def test_finding_the_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectNotFoundError, match="no such"):
        find_project(tmp_path / "missing")
    with pytest.raises(ProjectNotFoundError, match="no QuPath project"):
        find_project(tmp_path)
    (tmp_path / "b.qpproj").touch()
    (tmp_path / "b.qpproj.backup").touch()
    assert find_project(tmp_path) == find_project(tmp_path / "b.qpproj") == tmp_path / "b.qpproj"
    (tmp_path / "a.qpproj").touch()
    with pytest.raises(ProjectNotFoundError, match=r"a\.qpproj, b\.qpproj"):
        find_project(tmp_path)


def test_class_list_is_merged_not_overwritten(golden: Path) -> None:
    path = golden / "project" / CLASS_LIST
    data = path.read_bytes()
    listed = parse_class_list(data, where=path)
    assert merge_class_list(data, listed, listed, where=path) is data
    her2 = PathClass(("HER2 2+",), -1)
    added = merge_class_list(data, (), (her2,), where=path)
    assert added is not None
    assert parse_class_list(added, where=path) == (*listed, her2)
    assert merge_class_list(added, (*listed, her2), listed, where=path) == data


def test_class_list_colours_and_removal() -> None:
    data = b'{"pathClasses": [null, {"name": "Tumor", "color": -1, "x": 1}, {"name": "Stroma"}, {"name": null}]}'
    assert parse_class_list(data, where="x") == (_TUMOR, _STROMA)
    recoloured = merge_class_list(data, (PathClass(("Tumor",), -1), _STROMA), (_TUMOR,), where="x")
    assert recoloured is not None
    assert json.loads(recoloured)["pathClasses"] == [None, {"name": "Tumor", "color": -3670016, "x": 1}, {"name": None}]
    assert merge_class_list(None, (), (), where="x") is None
    only = merge_class_list(None, (), (_TUMOR,), where="x")
    assert merge_class_list(only, (_TUMOR,), (), where="x") is None


@pytest.mark.parametrize(
    "data", [b"[]", b'{"pathClasses": 1}', b'{"pathClasses": ["Tumor"]}', b'{"pathClasses": [{"name": 1}]}']
)
def test_what_is_no_class_list_is_refused(data: bytes) -> None:
    with pytest.raises(ProjectFormatError):
        parse_class_list(data, where="x")


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        ({"value": 0.25, "unit": "µm"}, 0.25),
        ({"value": 1, "unit": "µm"}, 1.0),
        ({"value": 1.0, "unit": "px"}, None),
        ({"value": 0.0, "unit": "µm"}, None),
        ({"value": float("nan"), "unit": "µm"}, None),
        ({"value": "0.25", "unit": "µm"}, None),
        ({"value": True, "unit": "µm"}, None),
        ({}, None),
        (0.25, None),
        (None, None),
    ],
)
def test_pixel_calibration_counts_only_in_micrometres(width: object, expected: float | None) -> None:
    metadata = {"pixelCalibration": {"pixelWidth": width, "pixelHeight": {"value": 0.5, "unit": "µm"}}}
    calibration = PixelCalibration.from_metadata(metadata)
    assert (calibration.width, calibration.height) == (expected, 0.5)
    assert calibration.is_calibrated is (expected is not None)


@pytest.mark.parametrize("metadata", [None, {}, {"pixelCalibration": 1}])
def test_no_calibration(metadata: dict[str, object] | None) -> None:
    assert not PixelCalibration.from_metadata(metadata).is_calibrated


def test_wrapped_builders_are_searched_and_rewritten() -> None:
    plain = [{"builderType": "uri", "uri": f"file:/{name}.svs", "args": []} for name in "ab"]
    wrapped = {"builderType": "channels", "channels": [{"builderType": "rotated", "builder": plain[0]}, plain[1]]}
    assert list(nested_uri_builders(wrapped)) == plain
    moved = with_uris(wrapped, lambda uri: uri.replace("file:/", "file:/new/"))
    assert [builder["uri"] for builder in nested_uri_builders(moved)] == ["file:/new/a.svs", "file:/new/b.svs"]
