"""Images that QuPath shows cropped, rotated or flipped are scored on the pixels that it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import tifffile

import her2qp
from her2qp.qupath import create_project
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ImageType, ObjectType, PathObject
from her2qp.qupath.rois import make_roi
from tests.qupath.native.samples import new_id

CMU = "CMU-1-Small-Region.svs"
OPENSLIDE = "qupath.lib.images.servers.openslide.OpenslideServerBuilder"
CROP = {"builderType": "cropped", "region": {"x": 301, "y": 205, "width": 1403, "height": 1402, "z": 0, "t": 0}}
TURN = {"builderType": "rotated", "rotation": "ROTATE_90"}
FLIP = {"builderType": "flipped", "flip": "HORIZONTAL"}
VIEWS = {"cropped": [CROP], "cropped, rotated and flipped": [CROP, TURN, FLIP]}
TUMOR = shapely.Polygon([(90, 80), (1300, 200), (1200, 1300), (200, 1100)])


def builder_of(slide: Path, wrappers: list[dict[str, Any]]) -> dict[str, Any]:
    """A builder like QuPath's, with the metadata of the outermost image only."""
    builder: dict[str, Any] = {"builderType": "uri", "uri": slide.as_uri(), "providerClassName": OPENSLIDE, "args": []}
    for wrapper in wrappers:
        builder = {**wrapper, "builder": builder}
    return builder


def show_through(project: Path, wrappers: list[dict[str, Any]], slide: Path, size: tuple[int, int]) -> None:
    """Let an image of one file be shown through wrappers."""
    file = next(project.glob("*.qpproj"))
    document = json.loads(file.read_text(encoding="utf-8"))
    (image,) = document["images"]
    metadata = {**image["serverBuilder"]["metadata"], "width": size[0], "height": size[1]}
    metadata["levels"] = [{"downsample": 1.0, "width": size[0], "height": size[1]}]
    image["serverBuilder"] = {**builder_of(slide, wrappers), "metadata": metadata}
    file.write_text(json.dumps(document), encoding="utf-8")


def make_project(folder: Path, slide: Path, wrappers: list[dict[str, Any]], size: tuple[int, int]) -> Path:
    with create_project(folder, qupath_version="0.7.0") as project:
        entry = project.add_image(slide, name="a", size=size, mpp=(0.5, 0.5), image_type=ImageType.BRIGHTFIELD_H_E)
        entry.edit(
            HierarchyEdit(
                add_objects=(PathObject(new_id(1), ObjectType.ANNOTATION, make_roi(TUMOR), PathClass(("Tumor",))),)
            )
        )
        entry.save()
    if wrappers:
        show_through(folder, wrappers, slide, size)
    return folder


def scored_tiles(project: Path) -> Any:
    result = her2qp.score(project, backend="native")
    assert result.exit_code == 0, [outcome.reason for outcome in result.outcomes]
    with her2qp.open_project(project, backend="native") as opened:
        return opened.images[0].tiles()


@pytest.mark.long
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_scored_like_a_file_that_holds_what_it_shows(name: str, shared: Path, tmp_path: Path) -> None:
    slide = shared / "data" / "wsi" / CMU
    pixels = tifffile.imread(slide)
    for wrapper in VIEWS[name]:
        if wrapper is CROP:
            pixels = pixels[205 : 205 + 1402, 301 : 301 + 1403]
        else:
            pixels = np.rot90(pixels, -1) if wrapper is TURN else pixels[:, ::-1]
    size = pixels.shape[1], pixels.shape[0]
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.ascontiguousarray(pixels), photometric="rgb", tile=(256, 256), metadata=None)

    seen = scored_tiles(make_project(tmp_path / "view", slide, VIEWS[name], size))
    expected = scored_tiles(make_project(tmp_path / "plain", plain, [], size))
    assert len(seen) > 5
    np.testing.assert_array_equal(seen.bounds, expected.bounds)
    np.testing.assert_allclose(seen.values, expected.values, atol=1e-5)
    assert seen.class_index.tolist() == expected.class_index.tolist()
    footprints = shapely.box(*seen.bounds.T)
    inside = shapely.area(shapely.intersection(footprints, TUMOR)) / shapely.area(footprints)
    np.testing.assert_allclose(seen.column("Region fraction"), inside, atol=1e-5)
