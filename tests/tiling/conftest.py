"""Annotations for tiling tests."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid5

import pytest
from shapely import Geometry

from her2qp.qupath.classes import PathClass
from her2qp.qupath.objects import ImagePlane, ObjectType, PathObject, Roi, RoiKind

NAMESPACE = UUID("6f0a9c1e-5d0c-4f4e-9d5c-0d9f3f1f7a11")


@pytest.fixture(scope="session")
def annotate() -> Callable[..., PathObject]:
    """Makes an annotation; its id follows from `key`."""

    def make(
        geometry: Geometry,
        path_class: str | None = "Tumor",
        *,
        key: object = 0,
        kind: RoiKind = RoiKind.GEOMETRY,
        plane: ImagePlane = ImagePlane(),  # noqa: B008 -- frozen
    ) -> PathObject:
        return PathObject(
            uuid5(NAMESPACE, str(key)),
            ObjectType.ANNOTATION,
            Roi(kind, geometry, plane),
            None if path_class is None else PathClass.from_string(path_class),
        )

    return make
