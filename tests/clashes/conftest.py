"""A project of several images that can be scored quickly: all show one small slide, whose features are kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import UUID, uuid5

import pytest

import her2qp
from her2qp.qupath import create_project
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ImageType, PathObject

IMAGES = 8


@pytest.fixture(scope="session")
def _lab_master(_example_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with her2qp.open_project(_example_master / "project", backend="native") as example:
        (slide,), (image,) = list(_example_master.glob("*.svs")), example.images
        (tumor,), size = image.annotations, image.size
    folder = tmp_path_factory.mktemp("lab")
    shutil.copyfile(slide, folder / "slide.svs")
    with create_project(folder / "project") as project:
        for number in range(IMAGES):
            entry = project.add_image(
                folder / "slide.svs",
                name=f"patient {number}",
                size=size,
                mpp=(0.25, 0.25),
                image_type=ImageType.BRIGHTFIELD_H_E,
                metadata={"patient": f"P-{number}"},
            )
            entry.edit(HierarchyEdit(add_objects=(_redrawn(tumor, number),)))
            entry.save()
    shutil.rmtree(folder / "project" / "her2qp")
    warm = folder.with_name("warm")
    shutil.copytree(folder, warm)
    her2qp.score(warm / "project", images=["patient 0"], backend="native")
    return folder


def _redrawn(tumor: PathObject, number: int) -> PathObject:
    return PathObject(uuid5(UUID(int=0), str(number)), tumor.type, tumor.roi, tumor.path_class, name=f"drawn {number}")


@pytest.fixture
def lab(_lab_master: Path, tmp_path: Path) -> Path:
    """The folder of a private copy of the project; the slide lies beside it."""
    copy = tmp_path / "lab"
    shutil.copytree(_lab_master, copy)
    return copy / "project"


@pytest.fixture(params=["native", pytest.param("paquo", marks=pytest.mark.qupath)])
def backend(request: pytest.FixtureRequest) -> str:
    """Each store in turn; QuPath's own code only where there is a QuPath."""
    name: str = request.param
    if name == "paquo":
        request.getfixturevalue("qupath_dir")
    return name
