"""Annotations to regions: what is to be scored, with everything excluded cut out and no pixel in two regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Geometry

from her2qp.qupath.classes import PathClass
from her2qp.qupath.objects import PathObject

TUMOR = PathClass(("Tumor",))
"""QuPath's class for tumour; what is scored when nothing else is asked for."""

EXCLUDED_CLASSES = tuple(PathClass((name,)) for name in ("Necrosis", "Artefact", "Artefacts", "Artifact", "Artifacts"))
"""Classes whose annotations are always cut out, as is every class that QuPath ignores (its name ends in ``*``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A part of a slide that is scored.

    Parameters
    ----------
    annotation_id
        The annotation it comes from; None for the whole slide.
    path_class
        The annotation's class.
    geometry
        Valid polygon or multipolygon in level-0 pixels, inside the slide, disjoint from all other regions and from
        everything excluded.
    """

    annotation_id: UUID | None
    path_class: PathClass | None
    geometry: Geometry


@dataclass(frozen=True, slots=True, eq=False)
class RegionSet:
    """The regions of one slide, in the order of their annotations, and what there is to say about them.

    Parameters
    ----------
    regions
        The regions, each of them with an area.
    reason
        Why there are none; empty if there are some.
    missing_classes
        Wanted classes that no annotation has; None stands for unclassified.
    notes
        What was repaired, clipped or left out: one sentence each, naming annotations by their id.
    """

    regions: list[Region]
    reason: str = ""
    missing_classes: tuple[PathClass | None, ...] = ()
    notes: tuple[str, ...] = ()


def whole_slide_region(
    annotations: Sequence[PathObject], *, slide_size: tuple[int, int], exclude: Sequence[PathClass] = ()
) -> RegionSet:
    """One region that covers the slide but for what is excluded; the tissue mask then decides alone.

    Parameters
    ----------
    annotations, slide_size, exclude
        As for :func:`make_regions`; only excluded annotations matter.
    """
    notes: list[str] = []
    _, cutouts = _usable([a for a in annotations if _is_excluded(a.path_class, (), exclude)], slide_size, notes)
    (part,) = _subtract([shapely.box(0, 0, *slide_size)], cutouts)
    if shapely.is_empty(part):
        return RegionSet([], "the whole slide is excluded", notes=tuple(notes))
    return RegionSet([Region(None, None, part)], notes=tuple(notes))


def make_regions(
    annotations: Sequence[PathObject],
    *,
    slide_size: tuple[int, int],
    classes: Sequence[PathClass | None] = (TUMOR,),
    exclude: Sequence[PathClass] = (),
) -> RegionSet:
    """Turn annotations into disjoint regions.

    An annotation is taken if its class is one of `classes` or derived from one, and cut out of all others if its class
    is excluded: ends in ``*``, or is or derives from one of `exclude` or :data:`EXCLUDED_CLASSES`. Where both hold, the
    more specific name decides, and a class that was asked for by its own name is taken.

    Where regions overlap, the smaller annotation keeps the overlap (equal areas: the smaller id), so that an annotation
    drawn inside another is a region of its own and the result does not depend on the order of the annotations.

    Parameters
    ----------
    annotations
        Annotations of one image.
    slide_size
        Width and height of level 0; what lies beyond is cut off.
    classes
        Classes to take; None stands for unclassified annotations.
    exclude
        Further classes to cut out.

    Returns
    -------
    RegionSet
        Possibly empty. Only annotations on the first z-slice and time point count.
    """
    wanted = [a for a in annotations if _is_wanted(a.path_class, classes, exclude)]
    excluded = [a for a in annotations if _is_excluded(a.path_class, classes, exclude)]
    notes: list[str] = []
    taken, shapes = _usable(wanted, slide_size, notes)
    _, cutouts = _usable(excluded, slide_size, notes)
    parts = _subtract(_without_overlaps(shapes, [a.id for a in taken]), cutouts)
    regions = []
    for annotation, part in zip(taken, parts, strict=True):
        if shapely.is_empty(part):
            notes.append(f"annotation {annotation.id} is covered by excluded or smaller annotations: nothing is left")
        else:
            regions.append(Region(annotation.id, annotation.path_class, part))
    missing = tuple(c for c in classes if not any(_depth(a.path_class, (c,)) for a in annotations))
    reason = "" if regions else "annotation has no area left on the slide" if wanted else _nothing_of(classes)
    return RegionSet(regions, reason, missing, tuple(notes))


def _nothing_of(classes: Sequence[PathClass | None]) -> str:
    if tuple(classes) == (TUMOR,):
        return "no tumour annotation"
    return "no annotation of class " + " or ".join("(unclassified)" if c is None else str(c) for c in classes)


def _depth(path_class: PathClass | None, ancestors: Sequence[PathClass | None]) -> int:
    """How many name parts the nearest of `ancestors` shares with a class it is or derives to; 0 if none does."""
    if path_class is None:
        return int(None in ancestors)
    return max((len(a.names) for a in ancestors if a is not None and path_class.is_derived_from(a)), default=0)


def _is_wanted(path_class: PathClass | None, classes: Sequence[PathClass | None], exclude: Sequence[PathClass]) -> bool:
    depth = _depth(path_class, classes)
    return depth > 0 and depth >= _exclusion_depth(path_class, exclude)


def _is_excluded(
    path_class: PathClass | None, classes: Sequence[PathClass | None], exclude: Sequence[PathClass]
) -> bool:
    return _exclusion_depth(path_class, exclude) > _depth(path_class, classes)


def _exclusion_depth(path_class: PathClass | None, exclude: Sequence[PathClass]) -> int:
    if path_class is None:
        return 0
    return len(path_class.names) if path_class.is_ignored else _depth(path_class, (*EXCLUDED_CLASSES, *exclude))


def _usable(
    annotations: Sequence[PathObject], slide_size: tuple[int, int], notes: list[str]
) -> tuple[list[PathObject], list[Geometry]]:
    """The annotations that have an area on the slide, with that area; appends to `notes` what is amiss."""
    slide = shapely.box(0, 0, *slide_size)
    taken, shapes = [], []
    for annotation in annotations:
        shape, problem = _shape_on(slide, annotation)
        if problem:
            notes.append(f"annotation {annotation.id} {problem}")
        if shape is not None:
            taken.append(annotation)
            shapes.append(shape)
    return taken, shapes


def _shape_on(slide: Geometry, annotation: PathObject) -> tuple[Geometry | None, str]:
    """Area of an annotation on the slide, None if it has none, and what there is to say about it."""
    roi, shape = annotation.roi, annotation.geometry
    if roi is not None and (roi.plane.z or roi.plane.t):
        return None, f"lies on z-slice {roi.plane.z}, time point {roi.plane.t}: ignored"
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        return None, "has coordinates that are no numbers: ignored"
    problems = []
    if not shapely.is_valid(shape):
        shape = shapely.make_valid(shape)
        problems.append("crosses itself: repaired")
    shape = _polygons(shape)
    if shapely.is_empty(shape):
        return None, "has no area (a line, points or nothing): ignored"
    if not shapely.covers(slide, shape):
        shape = _polygons(shapely.intersection(shape, slide))
        if shapely.is_empty(shape):
            return None, "lies outside the slide: ignored"
        problems.append("reaches beyond the slide: cut off at its border")
    return shape, "; ".join(problems)


def _without_overlaps(shapes: Sequence[Geometry], ids: Sequence[UUID]) -> list[Geometry]:
    """Each shape without the smaller ones that overlap it."""
    array = np.asarray(shapes, object)
    areas = shapely.area(array).tolist()
    size_order = sorted(range(len(shapes)), key=lambda i: (areas[i], ids[i].bytes))
    rank = np.empty(len(shapes), np.intp)
    rank[size_order] = np.arange(len(shapes))
    larger, smaller = shapely.STRtree(array).query(array, predicate="intersects")
    overlaps = rank[smaller] < rank[larger]
    return _cut(shapes, larger[overlaps], shapes, smaller[overlaps])


def _subtract(shapes: Sequence[Geometry], cutouts: Sequence[Geometry]) -> list[Geometry]:
    """Each shape without all of `cutouts`."""
    shape_index, cutout_index = shapely.STRtree(np.asarray(cutouts, object)).query(
        np.asarray(shapes, object), predicate="intersects"
    )
    return _cut(shapes, shape_index, cutouts, cutout_index)


def _cut(
    shapes: Sequence[Geometry],
    shape_index: NDArray[np.intp],
    cutouts: Sequence[Geometry],
    cutout_index: NDArray[np.intp],
) -> list[Geometry]:
    """Cut ``cutouts[cutout_index[k]]`` out of ``shapes[shape_index[k]]`` for every k."""
    result = list(shapes)
    for i in np.unique(shape_index):
        cutout = shapely.union_all([cutouts[j] for j in np.sort(cutout_index[shape_index == i])])
        result[i] = _polygons(shapely.difference(shapes[i], cutout))
    return result


def _polygons(geometry: Geometry) -> Geometry:
    """The polygons in a geometry, as one polygon or multipolygon; empty if it has none with an area."""
    if geometry.geom_type == "Polygon":
        return geometry if geometry.area > 0 else shapely.MultiPolygon()
    parts = [part for part in shapely.get_parts(geometry) if part.area > 0]
    flat = [p for part in parts for p in shapely.get_parts(part) if p.geom_type == "Polygon" and p.area > 0]
    return flat[0] if len(flat) == 1 else shapely.MultiPolygon(flat)
