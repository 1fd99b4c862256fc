"""What QuPath itself read back from a golden project, compared with what a store reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from her2qp.qupath.hierarchy import Hierarchy
from her2qp.qupath.objects import ImageType, ObjectType, PathObject, RoiKind

JAVA_TYPES = {
    "PathAnnotationObject": ObjectType.ANNOTATION,
    "PathDetectionObject": ObjectType.DETECTION,
    "PathTileObject": ObjectType.TILE,
    "PathCellObject": ObjectType.CELL,
    "TMACoreObject": ObjectType.TMA_CORE,
}

IMAGE_TYPES = {"Brightfield (H&E)": ImageType.BRIGHTFIELD_H_E, "Brightfield (H-DAB)": ImageType.BRIGHTFIELD_H_DAB}

PIXELS = 0.011
"""The reference rounds its WKT to 0.01 px, and QuPath 0.6 and later round what they read."""


def reference_images(golden: Path) -> list[dict[str, Any]]:
    """What ``reference.json`` says about each image of a golden project."""
    images: list[dict[str, Any]] = json.loads((golden / "reference.json").read_text("utf-8"))["images"]
    return images


def assert_same_objects(
    hierarchy: Hierarchy, image: dict[str, Any], *, among: Iterable[PathObject] | None = None
) -> None:
    """Every object of the reference is there, in order and with all that the reference says of it; and no other.

    Parameters
    ----------
    hierarchy
        What was read.
    image
        What the reference says about the image.
    among
        The objects to compare if not all of the hierarchy's.
    """
    objects = list(hierarchy.objects() if among is None else among)
    expected = image["objects"]
    assert len(objects) == len(expected) == image["n"]
    assert hierarchy.image_type is IMAGE_TYPES[image["image_type"]]
    level = {None: 0}
    for found, wanted in zip(objects, expected, strict=True):
        level[found.id] = level[found.parent] + 1
        assert level[found.id] == wanted["level"]
        assert_same_object(found, wanted)
        if wanted["id"] is not None:
            assert str(found.id) == wanted["id"]
            assert (None if found.parent is None else str(found.parent)) == wanted["parent"]


def assert_same_object(found: PathObject, wanted: dict[str, Any]) -> None:
    """One object is what the reference says, its place in the hierarchy and its id left out."""
    assert found.type is JAVA_TYPES[wanted["type"]]
    assert (None if found.path_class is None else str(found.path_class)) == wanted["cls"]
    assert found.name == wanted["name"]
    assert found.description == wanted["description"]
    assert found.color == wanted["color"]
    assert found.locked is wanted["locked"]
    assert_same_number(found.class_probability, wanted["prob"])
    assert list(found.measurements) == list(wanted["measurements"])
    for name, value in wanted["measurements"].items():
        assert_same_number(found.measurements[name], value)
    assert found.roi is not None
    assert found.roi.kind.value == wanted["roi"]
    assert [found.roi.plane.c, found.roi.plane.z, found.roi.plane.t] == wanted["plane"]
    assert_same_shape(found.roi.geometry, shapely.from_wkt(wanted["wkt"]))
    if found.roi.kind is not RoiKind.ELLIPSE:
        assert_same_points(shapely.get_coordinates(found.roi.geometry), wanted["points"])
    assert (found.nucleus is None) == (wanted["nucleus"] is None)
    if found.nucleus is not None:
        assert_same_shape(found.nucleus.geometry, shapely.from_wkt(wanted["nucleus"]))


def assert_same_number(found: float, wanted: float) -> None:
    """Equal, or both NaN."""
    assert found == wanted or (math.isnan(found) and math.isnan(wanted))


def assert_same_points(found: np.ndarray[Any, Any], wanted: Sequence[Sequence[float]]) -> None:
    """The same vertices in any order and from any start, the closing vertex aside."""
    vertices = {tuple(point) for point in np.round(found, 2).tolist()}
    assert vertices == {tuple(point) for point in np.round(np.array(wanted), 2).tolist()}


def assert_same_shape(found: shapely.Geometry, wanted: shapely.Geometry) -> None:
    """The same kind of geometry with the same outline and area, vertex order aside."""
    assert found.geom_type == wanted.geom_type
    assert shapely.hausdorff_distance(found, wanted) <= PIXELS
    assert abs(found.area - wanted.area) <= PIXELS * (1 + wanted.length)
