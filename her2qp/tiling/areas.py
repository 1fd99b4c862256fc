"""Areas of annotations and TMA cores on a slide, and how they are cut out of one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Geometry

from her2qp.qupath.objects import ObjectType, PathObject

Pairs: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Numbers of shapes, and of the others that each of them touches."""


def areas_on_slide(
    objects: Sequence[PathObject], slide_size: tuple[int, int], notes: list[str]
) -> tuple[list[PathObject], list[Geometry]]:
    """The annotations or TMA cores that have an area on the slide, with that area.

    Parameters
    ----------
    objects
        Of one image.
    slide_size
        Width and height of level 0; what lies beyond is cut off.
    notes
        Gets a sentence on everything that is amiss.
    """
    slide = shapely.box(0, 0, *slide_size)
    taken, shapes = [], []
    for obj in objects:
        shape, problem = _shape_on(slide, obj)
        if problem:
            notes.append(f"{label_of(obj)} {problem}")
        if shape is not None:
            taken.append(obj)
            shapes.append(shape)
    return taken, shapes


def label_of(obj: PathObject) -> str:
    """What to call an object in a message: a TMA core by its name, everything else by its id."""
    if obj.type is ObjectType.TMA_CORE:
        return f"TMA core {obj.name or obj.id}"
    return f"{obj.type} {obj.id}"


def _shape_on(slide: Geometry, obj: PathObject) -> tuple[Geometry | None, str]:
    """Area of an object on the slide, None if it has none, and what there is to say about it."""
    roi, shape = obj.roi, obj.geometry
    if roi is not None and (roi.plane.z or roi.plane.t):
        return None, f"lies on z-slice {roi.plane.z}, time point {roi.plane.t}: ignored"
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        return None, "has coordinates that are no numbers: ignored"
    problems = []
    if not shapely.is_valid(shape):
        shape = shapely.make_valid(shape)
        problems.append("crosses itself: repaired")
    shape = polygons_of(shape)
    if shapely.is_empty(shape):
        return None, "has no area (a line, points or nothing): ignored"
    if not shapely.covers(slide, shape):
        shape = polygons_of(shapely.intersection(shape, slide))
        if shapely.is_empty(shape):
            return None, "lies outside the slide: ignored"
        problems.append("reaches beyond the slide: cut off at its border")
    return shape, "; ".join(problems)


def without_overlaps(shapes: Sequence[Geometry], ids: Sequence[UUID]) -> list[Geometry]:
    """Each shape without the smaller ones that overlap it; of equal ones, that with the smaller id is the smaller."""
    array = np.asarray(shapes, object)
    areas = shapely.area(array).tolist()
    size_order = sorted(range(len(shapes)), key=lambda i: (areas[i], ids[i].bytes))
    rank = np.empty(len(shapes), np.intp)
    rank[size_order] = np.arange(len(shapes))
    larger, smaller = _touching(shapes, shapes)
    overlaps = rank[smaller] < rank[larger]
    return _cut(shapes, shapes, (larger[overlaps], smaller[overlaps]))


def subtract(shapes: Sequence[Geometry], cutouts: Sequence[Geometry]) -> list[Geometry]:
    """Each shape without all of `cutouts`."""
    return _cut(shapes, cutouts, _touching(shapes, cutouts))


def restrict(shapes: Sequence[Geometry], outlines: Sequence[Geometry]) -> list[Geometry]:
    """The part of each shape that lies within any of `outlines`; empty where none does."""
    result: list[Geometry] = [shapely.MultiPolygon()] * len(shapes)
    for i, outline in _united(outlines, _touching(shapes, outlines)):
        result[i] = polygons_of(shapely.intersection(shapes[i], outline))
    return result


def _touching(shapes: Sequence[Geometry], others: Sequence[Geometry]) -> Pairs:
    tree = shapely.STRtree(np.asarray(others, object))
    shape_index, other_index = tree.query(np.asarray(shapes, object), predicate="intersects")
    return shape_index, other_index


def _united(others: Sequence[Geometry], pairs: Pairs) -> Iterator[tuple[int, Geometry]]:
    """For each shape in `pairs`, its number and the union of the others paired with it."""
    shape_index, other_index = pairs
    for i in np.unique(shape_index).tolist():
        yield i, shapely.union_all([others[j] for j in np.sort(other_index[shape_index == i])])


def _cut(shapes: Sequence[Geometry], cutouts: Sequence[Geometry], pairs: Pairs) -> list[Geometry]:
    """Cut out of each shape the cutouts that `pairs` has for it."""
    result = list(shapes)
    for i, cutout in _united(cutouts, pairs):
        result[i] = polygons_of(shapely.difference(shapes[i], cutout))
    return result


def polygons_of(geometry: Geometry) -> Geometry:
    """The polygons in a geometry, as one polygon or multipolygon; empty if it has none with an area."""
    if geometry.geom_type == "Polygon":
        return geometry if geometry.area > 0 else shapely.MultiPolygon()
    parts = [part for part in shapely.get_parts(geometry) if part.area > 0]
    flat = [p for part in parts for p in shapely.get_parts(part) if p.geom_type == "Polygon" and p.area > 0]
    return flat[0] if len(flat) == 1 else shapely.MultiPolygon(flat)
