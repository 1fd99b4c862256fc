"""Which QuPath is found, and which store is taken."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from her2qp.errors import QuPathNotFoundError
from her2qp.qupath.backends import choose_backend, open_store
from her2qp.qupath.paquo.installation import QuPathInstallation, find_installation
from her2qp.qupath.version import version_key

on_linux = pytest.mark.skipif(platform.system() != "Linux", reason="makes a folder that looks like QuPath for Linux")


@pytest.fixture
def fake_qupath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like an installed QuPath 0.6.0; PAQUO_QUPATH_DIR points to it."""
    app, machine = tmp_path / "QuPath" / "lib" / "app", tmp_path / "QuPath" / "lib" / "runtime" / "lib" / "server"
    app.mkdir(parents=True)
    machine.mkdir(parents=True)
    (machine / "libjvm.so").touch()
    (app / "qupath-core-0.6.0.jar").touch()
    (app / "qupath-core-processing-0.6.0.jar").touch()
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(tmp_path / "QuPath"))
    return app


@on_linux
def test_a_configured_qupath_is_found_without_starting_it(fake_qupath: Path) -> None:
    assert find_installation() == QuPathInstallation(fake_qupath, "0.6.0")
    assert choose_backend("auto", "0.5.1") == "paquo"
    store, note = open_store("auto", None)
    assert (store.name, note) == ("paquo", None)
    store.close()


@on_linux
@pytest.mark.parametrize("version", ["0.7.0", "0.10.0-SNAPSHOT"])
def test_a_newer_project_is_left_to_the_native_store(fake_qupath: Path, version: str) -> None:
    store, note = open_store("auto", version)
    assert store.name == "native"
    assert f"QuPath {version} wrote the project" in str(note)
    assert choose_backend("paquo", version) == "paquo"


@on_linux
def test_a_qupath_that_is_too_old_is_not_run(fake_qupath: Path) -> None:
    (fake_qupath / "qupath-core-0.6.0.jar").rename(fake_qupath / "qupath-core-0.3.2.jar")
    assert choose_backend("auto", "0.3.2") == "native"
    with pytest.raises(QuPathNotFoundError, match="too old"):
        open_store("paquo", "0.3.2")


def test_a_folder_without_qupath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(tmp_path))
    store, note = open_store("auto", None)
    assert store.name == "native"
    assert str(tmp_path) in str(note)
    with pytest.raises(QuPathNotFoundError, match="holds no QuPath"):
        open_store("paquo", None)


def test_native_looks_for_no_qupath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(tmp_path))
    assert open_store("native", "0.7.0")[1] is None


def test_an_unknown_backend_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="'auto', 'paquo' or 'native'"):
        open_store("java", None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "key"), [("0.5.1", (0, 5, 1)), ("v0.6.0-rc1", (0, 6, 0)), ("0.10.0-SNAPSHOT", (0, 10, 0)), ("dev", ())]
)
def test_version_key(version: str, key: tuple[int, ...]) -> None:
    assert version_key(version) == key
