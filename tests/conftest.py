"""What all tests share: where the real inputs are, and where a real QuPath is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

# A test that imports a library for the first time, or meets a busy machine, is slow without being wrong.
settings.register_profile("her2qp", deadline=None)
settings.load_profile("her2qp")

GOLDEN_VERSIONS = ("0.3.2", "0.4.4", "0.5.1", "0.6.0", "0.7.0")


def _shared_folder() -> Path | None:
    """Folder of real slides and QuPath projects that lies beside the checkout on the developers' machines."""
    folder = Path(os.environ.get("HER2QP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    return folder if (folder / "golden").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real inputs; a test that asks for it skips where there is none."""
    folder = _shared_folder()
    if folder is None:
        pytest.skip("no folder of real inputs (HER2QP_SHARED) on this machine")
    return folder


@pytest.fixture(params=GOLDEN_VERSIONS)
def golden(request: pytest.FixtureRequest, shared: Path, tmp_path: Path) -> Path:
    """A private, writable copy of a project written by one QuPath version: ``project/``, ``images/``, ``reference.json``."""
    copy = tmp_path / f"golden-{request.param}"
    shutil.copytree(shared / "golden" / request.param, copy, copy_function=shutil.copyfile)
    for folder in [copy, *(p for p in copy.rglob("*") if p.is_dir())]:
        folder.chmod(0o755)
    return copy


@pytest.fixture(scope="session")
def qupath_dir() -> Path:
    """Folder of a real QuPath; a test that asks for it skips where there is none."""
    folder = os.environ.get("PAQUO_QUPATH_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no QuPath here: set PAQUO_QUPATH_DIR to run this test against a real one")
    return Path(folder)
