"""What the tests of projects share: both stores, a small project of our own, and tiles to add."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
import pytest
import shapely

from her2qp.qupath import create_project
from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ImageType, ObjectType, PathObject, Roi, RoiKind, TileTable

TUMOR = PathClass(("Tumor",), pack_rgb(200, 0, 0))
HER2_2 = PathClass(("HER2 2+",), pack_rgb(225, 150, 50))
_NAMES = UUID(int=0)

Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture(params=["native", pytest.param("paquo", marks=pytest.mark.qupath)])
def backend(request: pytest.FixtureRequest) -> str:
    """Each store in turn; QuPath's own code only where there is a QuPath."""
    name: str = request.param
    if name == "paquo":
        request.getfixturevalue("qupath_dir")
    return name


def rectangle(name: str, *bounds: float, parent: str | None = None, path_class: PathClass | None = TUMOR) -> PathObject:
    """A rectangle annotation whose id follows from its name."""
    roi = Roi(RoiKind.RECTANGLE, shapely.box(*bounds))
    above = None if parent is None else uuid5(_NAMES, parent)
    return PathObject(uuid5(_NAMES, name), ObjectType.ANNOTATION, roi, path_class, name=name, parent=above)


def make_tiles(n: int, parent: UUID | None) -> TileTable:
    """Tiles in a row, with a class and two measurements."""
    x = np.arange(n, dtype=np.float64) * 16
    return TileTable(
        ids=np.frombuffer(b"".join(uuid5(_NAMES, f"{parent} {i}").bytes for i in range(n)), np.uint8).reshape(n, 16),
        bounds=np.stack([x, x, x + 16, x + 16], axis=1),
        classes=(HER2_2,),
        class_index=np.arange(n, dtype=np.int32) % 2 - 1,
        names=("HER2 attention", "Tissue fraction"),
        values=np.arange(2 * n, dtype=np.float32).reshape(n, 2) / 7,
        parent_ids=(parent,),
        parent_index=np.zeros(n, np.int32),
    )


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A project of our own: two images, one with nested annotations, one that was never saved."""
    folder = tmp_path / "study v1.2"
    slides = tmp_path / "slides"
    slides.mkdir()
    with create_project(folder) as project:
        for name in ("first image.svs", "Müller #2.svs"):
            (slides / name).touch()
            entry = project.add_image(
                slides / name,
                size=(4096, 2048),
                mpp=(0.25, 0.25),
                levels=[(4096, 2048), (1024, 512)],
                magnification=40.0,
                image_type=ImageType.BRIGHTFIELD_H_E if name.startswith("first") else ImageType.UNSET,
                metadata={"patient": "P-1"},
            )
        outer, inner = rectangle("outer", 0, 0, 800, 800), rectangle("inner", 10, 10, 200, 200, parent="outer")
        entry = project.images[0]
        entry.edit(HierarchyEdit(add_objects=(outer, inner)))
        entry.save()
    return folder


@pytest.fixture
def tree() -> Tree:
    """Content of every file of a project but those that are her2qp's own."""

    def read(folder: Path) -> dict[str, bytes]:
        files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        return {name: path.read_bytes() for name, path in files.items() if not name.startswith("her2qp/")}

    return read
