"""What all tests share: where the real inputs are, and where a real QuPath is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Tests run side by side, one on each core: more threads than that only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A test that imports a library for the first time, or meets a busy machine, is slow without being wrong. The same
# examples every time: what new ones find belongs into a run of its own, not into somebody's change.
settings.register_profile("her2qp", deadline=None, derandomize=True)
settings.load_profile("her2qp")

GOLDEN_VERSIONS = ("0.3.2", "0.4.4", "0.5.1", "0.6.0", "0.7.0")


def _shared_folder() -> Path | None:
    """Folder of real slides and QuPath projects that lies beside the checkout on the developers' machines."""
    folder = Path(os.environ.get("HER2QP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    return folder if (folder / "golden").is_dir() else None


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of features and runtimes for all tests of a process, apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HER2QP_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real inputs; a test that asks for it skips where there is none."""
    folder = _shared_folder()
    if folder is None:
        pytest.skip("no folder of real inputs (HER2QP_SHARED) on this machine")
    return folder


@pytest.fixture(params=GOLDEN_VERSIONS)
def golden(request: pytest.FixtureRequest, shared: Path, tmp_path: Path) -> Path:
    """A private copy of a project that one QuPath version wrote: ``project/``, ``images/``, ``reference.json``."""
    copy = tmp_path / f"golden-{request.param}"
    shutil.copytree(shared / "golden" / request.param, copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


@pytest.fixture(scope="session")
def qupath_dir() -> Path:
    """Folder of a real QuPath; a test that asks for it skips where there is none."""
    folder = os.environ.get("PAQUO_QUPATH_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no QuPath here: set PAQUO_QUPATH_DIR to run this test against a real one")
    return Path(folder)


@pytest.fixture(scope="session")
def _example_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of our own making with one small artificial slide, its tumour annotated."""
    from uuid import UUID

    import shapely

    from her2qp.qupath import create_project
    from her2qp.qupath.classes import PathClass, pack_rgb
    from her2qp.qupath.edits import HierarchyEdit
    from her2qp.qupath.objects import ImageType, ObjectType, PathObject, Roi, RoiKind
    from her2qp.slides.artificial import make_artificial_slide

    folder = tmp_path_factory.mktemp("made")
    slide = make_artificial_slide(folder / "slide ä 1.svs", her2_level=2, size=(3072, 3072), seed=7)
    outline = max(shapely.get_parts(slide.tumour), key=lambda p: p.area).envelope
    tumor = PathObject(
        id=UUID("3b9c8b1e-6c1d-4a57-9d5e-0a4f0e3d9a11"),
        type=ObjectType.ANNOTATION,
        roi=Roi(RoiKind.RECTANGLE, outline),
        path_class=PathClass(("Tumor",), pack_rgb(200, 0, 0)),
        name="drawn by hand",
        locked=True,
    )
    with create_project(folder / "project") as project:
        entry = project.add_image(slide.path, size=slide.size, mpp=(0.25, 0.25), image_type=ImageType.BRIGHTFIELD_H_E)
        entry.edit(HierarchyEdit(add_objects=(tumor,)))
        entry.save()
    return folder.rename(folder.with_name("moved-away"))


@pytest.fixture
def example(_example_master: Path, tmp_path: Path) -> Path:
    """A private copy of the example project, moved from where it was made."""
    copy = tmp_path / "moved"
    shutil.copytree(_example_master, copy, ignore=shutil.ignore_patterns("her2qp"))
    return copy
