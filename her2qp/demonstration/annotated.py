"""Slides with annotations for projects that nobody annotated by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import shapely

from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ImageType, ObjectType, PathObject, Roi, RoiKind

if TYPE_CHECKING:
    from her2qp.qupath.project import Project

TUMOR = PathClass(("Tumor",), pack_rgb(200, 0, 0))
NECROSIS = PathClass(("Necrosis",), pack_rgb(50, 50, 50))
IGNORE = PathClass(("Ignore*",), pack_rgb(180, 180, 180))

_NAMESPACE = UUID("0f6c6f0a-5a53-5f0b-9d43-5f5f2f7a0c11")
_OBJECTIVE_UM = 10.0
"""Magnification times µm/px: 20x is 0.5 µm/px by the field's convention."""


def draw_annotated(path: Path, level: int, seed: int, size: tuple[int, int]) -> tuple[Path, list[PathObject]]:
    """Draw a slide and annotate it from its ground truth. May run in a process of its own.

    Parameters
    ----------
    path
        The SVS to write.
    level
        HER2 level, 0 to 3.
    seed
        Of the drawing.
    size
        In pixels of 0.25 µm.

    Returns
    -------
    path, objects
        Annotations of tumour and necrosis.
    """
    from her2qp.slides.artificial import make_artificial_slide

    made = make_artificial_slide(path, her2_level=level, size=size, seed=seed)
    outlines = [(TUMOR, made.tumour), (NECROSIS, made.necrosis)]
    objects = [
        annotation(f"{path.name}/{path_class}/{index}", polygon, path_class)
        for path_class, outline in outlines
        for index, polygon in enumerate(shapely.get_parts(outline.simplify(2.0)))
        if polygon.area > 0
    ]
    return path, objects


def add_slide(
    project: Project, slide: Path, objects: Sequence[PathObject], metadata: Mapping[str, str] | None = None
) -> None:
    """Add an H&E slide with its annotations to a project that is open for writing."""
    from her2qp.slides import open_slide

    with open_slide(slide) as opened:
        entry = project.add_image(
            slide,
            size=opened.size,
            mpp=opened.mpp,
            levels=opened.level_sizes,
            magnification=None if opened.mpp is None else round(_OBJECTIVE_UM / opened.mpp[0]),
            image_type=ImageType.BRIGHTFIELD_H_E,
            metadata=metadata,
        )
    entry.edit(HierarchyEdit(add_objects=tuple(objects)))
    entry.save()


def annotation(key: str, polygon: shapely.Polygon, path_class: PathClass) -> PathObject:
    """An annotation whose id follows from `key`."""
    kind = RoiKind.GEOMETRY if len(polygon.interiors) else RoiKind.POLYGON
    return PathObject(
        id=uuid5(_NAMESPACE, key), type=ObjectType.ANNOTATION, roi=Roi(kind, polygon), path_class=path_class
    )
