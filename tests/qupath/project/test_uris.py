"""File URIs of every form that QuPath writes, and slides of moved projects."""

from __future__ import annotations

from pathlib import Path

import pytest

from her2qp.qupath.uris import candidate_paths, file_uri, find_file, local_path, uri_name, uri_path


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:/data/CMU%201.svs", "/data/CMU 1.svs"),
        ("file:///data/a.svs", "/data/a.svs"),
        ("file://localhost/data/a.svs", "/data/a.svs"),
        ("file:/C:/dir/x.svs", "/C:/dir/x.svs"),
        ("file:////host/share/x.svs", "//host/share/x.svs"),
        ("file://host/share/x.svs", "//host/share/x.svs"),
        ("file:/data/M%C3%BCller%20%23%2B%25.svs", "/data/Müller #+%.svs"),
        ("file:/data/Müller.svs", "/data/Müller.svs"),
        ("https://example.org/a.svs", None),
        ("omero://x", None),
        ("a.svs", None),
        ("file:a.svs", None),
        ("file:/a%00b", None),
        ("file://[x", None),
    ],
)
def test_uri_path(uri: str, path: str | None) -> None:
    assert uri_path(uri) == path


@pytest.mark.parametrize("name", ["plain.svs", "with space.svs", "Müller #1 100%.svs", "標本.tiff", "a?b&c=d.svs"])
def test_a_path_survives_the_way_through_a_uri(tmp_path: Path, name: str) -> None:
    uri = file_uri(tmp_path / name)
    assert uri.isascii()
    assert local_path(uri) == tmp_path / name
    assert uri_name(uri) == name


def test_the_stored_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "a.svs").touch()
    places = candidate_paths(
        file_uri(tmp_path / "a.svs"), project_uri="file:/x/project.qpproj", project_folder=tmp_path
    )
    assert find_file(places) == tmp_path / "a.svs"


@pytest.mark.parametrize(
    ("image", "project"),
    [
        ("file:/old/images/Probe%201.svs", "file:/old/project/project.qpproj"),
        ("file:///old/images/Probe%201.svs", "file:/old/project/project.qpproj"),
        ("file:/C:/old/images/Probe%201.svs", "file:/C:/old/project/project.qpproj"),
        ("file:////host/images/Probe%201.svs", "file:////host/project/project.qpproj"),
    ],
)
def test_a_moved_project_finds_its_slides_beside_it(tmp_path: Path, image: str, project: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "Probe 1.svs").touch()
    places = candidate_paths(image, project_uri=project, project_folder=tmp_path / "project")
    assert find_file(places) == tmp_path / "images" / "Probe 1.svs"


def test_another_drive_is_not_relative(tmp_path: Path) -> None:
    places = candidate_paths("file:/D:/a.svs", project_uri="file:/C:/p/project.qpproj", project_folder=tmp_path)
    assert len(places) == 1


def test_a_name_no_file_system_has_is_not_found(tmp_path: Path) -> None:
    assert find_file([tmp_path / ("x" * 5000), tmp_path]) is None
