"""What QuPath would fail on when it opens the image is refused before anything is written."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qupath.native.samples import SERVER, empty_data, tile_table
from qupath.native.test_edits import annotation
from qupath.native.test_forms import Bench
from support import contents

from her2qp.errors import InvalidEditError
from her2qp.qupath import QpData, open_project
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.geojson import to_feature
from her2qp.qupath.java import JavaString
from her2qp.qupath.native import schema
from her2qp.qupath.objects import ImageType
from her2qp.qupath.semantics import check_builder

NOT_RGB = {"isRGB": False, "channels": [{"name": "DAPI"}]}
STAINS = '{"Name" : "H-DAB default", "Stain 1" : "Hematoxylin", "Values 1" : "0.65 0.70 0.29"}'


def with_stains(image_type: ImageType) -> QpData:
    """A file that names stains, whatever its type."""
    bench = Bench(QpData.create(SERVER, image_type))
    stains = bench.vocabulary.instance(schema.STAINS)
    stains.content[:] = [struct.pack(">i", 1), JavaString.of(STAINS)]
    bench.stream.contents[3] = stains
    return bench.result()


def with_class_part(part: str) -> QpData:
    """A file with a derived class, whose last part is then renamed as a script might."""
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=(annotation(1, path_class=PathClass(("Tumor", "renamed"))),)))
    bench = Bench(data)
    for node in bench.all(schema.PATH_CLASS):
        if isinstance(name := node.get("name"), JavaString) and name.text == "renamed":
            name.raw = part.encode()
    return bench.result()


@pytest.mark.parametrize("image_type", [ImageType.FLUORESCENCE, ImageType.OTHER, ImageType.UNSET])
def test_stains_of_what_is_not_brightfield(image_type: ImageType) -> None:
    with_stains(ImageType.BRIGHTFIELD_H_DAB).check_loadable(SERVER, "0.5.1")
    with pytest.raises(InvalidEditError, match=f"{image_type} cannot have stains"):
        with_stains(image_type).check_loadable(SERVER, "0.5.1")


def test_brightfield_of_what_is_not_rgb() -> None:
    data = empty_data()
    data.check_loadable({**SERVER, "metadata": {**NOT_RGB, "channels": [{}] * 3}}, "0.5.1")
    with pytest.raises(InvalidEditError, match="not RGB cannot be of type BRIGHTFIELD_H_E"):
        data.check_loadable({**SERVER, "metadata": NOT_RGB}, "0.5.1")


@pytest.mark.parametrize("part", ["a:b", "a\nb", " "])
def test_a_part_of_a_class_that_qupath_cannot_read(part: str) -> None:
    with pytest.raises(InvalidEditError, match="class that QuPath cannot load"):
        with_class_part(part).check_loadable(SERVER, "0.5.1")
    with pytest.raises(InvalidEditError, match="class name"):
        to_feature(with_class_part(part).annotations[0])
    with_class_part("Positive").check_loadable(SERVER, "0.5.1")


@pytest.mark.parametrize(
    ("kind", "since"),
    [("flipped", "0.7.0"), ("normalized", "0.6.0"), ("z_projected", "0.6.0-rc1"), ("rotated", "0.3.2")],
)
def test_a_builder_that_the_projects_version_does_not_know(kind: str, since: str) -> None:
    builder = {"builderType": "cropped", "builder": {"builderType": kind, "builder": SERVER}}
    check_builder(builder, since)
    check_builder(builder, None)
    if kind != "rotated":
        with pytest.raises(InvalidEditError, match=rf"'{kind}' server builder is known since .* QuPath 0\.5\.1"):
            check_builder(builder, "0.5.1")
        with pytest.raises(InvalidEditError, match=kind):
            QpData.create(builder).check_loadable(SERVER, "0.5.1")


def test_an_object_without_a_roi() -> None:
    with pytest.raises(InvalidEditError, match="without a ROI"):
        HierarchyEdit(add_objects=(annotation(1, roi=None),)).check()


def not_rgb(document: Any, data: Path) -> None:
    document["images"][0]["serverBuilder"]["metadata"].update(NOT_RGB)


def stained(document: Any, data: Path) -> None:
    data.write_bytes(with_stains(ImageType.FLUORESCENCE).to_bytes())


def misnamed(document: Any, data: Path) -> None:
    data.write_bytes(with_class_part("a:b").to_bytes())


def flipped(document: Any, data: Path) -> None:
    builder = document["images"][0]["serverBuilder"]
    document["images"][0]["serverBuilder"] = {"builderType": "flipped", "builder": builder, "flip": "BOTH"}


@pytest.mark.parametrize("spoil", [not_rgb, stained, misnamed, flipped])
def test_nothing_is_written_to_an_image_that_qupath_could_not_open(
    example: Path, spoil: Callable[[Any, Path], None]
) -> None:
    file = example / "project" / "project.qpproj"
    document = json.loads(file.read_text())
    spoil(document, example / "project" / "data" / "1" / "data.qpdata")
    file.write_text(json.dumps(document))
    before = contents(example)
    with open_project(example / "project", "r+", "native") as project:
        (entry,) = project.images
        assert isinstance(entry.annotations, tuple)
        entry.edit(HierarchyEdit(add_tiles=tile_table(3)))
        with pytest.raises(InvalidEditError) as caught:
            entry.save()
    assert caught.value.where and caught.value.remedy
    assert contents(example) == before
