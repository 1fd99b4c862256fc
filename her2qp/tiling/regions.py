"""Annotations to regions: what is to be scored, with everything excluded cut out and no pixel in two regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import shapely
from shapely import Geometry

from her2qp.qupath.classes import PathClass
from her2qp.qupath.objects import PathObject
from her2qp.tiling.areas import areas_on_slide, subtract, without_overlaps

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
        The annotation it comes from; None for a TMA core or the whole slide.
    path_class
        The class of that annotation or core.
    geometry
        Valid polygon or multipolygon in level-0 pixels, inside the slide, disjoint from all other regions and from
        everything excluded.
    core
        The TMA core it lies in, if cores are scored.
    """

    annotation_id: UUID | None
    path_class: PathClass | None
    geometry: Geometry
    core: PathObject | None = None

    @property
    def parent_id(self) -> UUID | None:
        """Id of the object that the result belongs to: annotation or TMA core; None for the whole slide."""
        return self.annotation_id if self.core is None else self.core.id


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A TMA core that is not scored, and why, in a few words."""

    core: PathObject
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class RegionSet:
    """The regions of one slide, in the order of their annotations or cores, and what there is to say about them.

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
    left_out
        TMA cores that are no region.
    """

    regions: list[Region]
    reason: str = ""
    missing_classes: tuple[PathClass | None, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


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
    _, cutouts = areas_on_slide([a for a in annotations if is_excluded(a.path_class, (), exclude)], slide_size, notes)
    (part,) = subtract([shapely.box(0, 0, *slide_size)], cutouts)
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
    wanted = [a for a in annotations if is_wanted(a.path_class, classes, exclude)]
    excluded = [a for a in annotations if is_excluded(a.path_class, classes, exclude)]
    notes: list[str] = []
    taken, shapes = areas_on_slide(wanted, slide_size, notes)
    _, cutouts = areas_on_slide(excluded, slide_size, notes)
    parts = subtract(without_overlaps(shapes, [a.id for a in taken]), cutouts)
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
    return f"no annotation of class {spell(classes)}"


def spell(classes: Sequence[PathClass | None]) -> str:
    """Classes in a message; None is unclassified."""
    return " or ".join("(unclassified)" if c is None else str(c) for c in classes)


def _depth(path_class: PathClass | None, ancestors: Sequence[PathClass | None]) -> int:
    """How many name parts the nearest of `ancestors` shares with a class it is or derives to; 0 if none does."""
    if path_class is None:
        return int(None in ancestors)
    return max((len(a.names) for a in ancestors if a is not None and path_class.is_derived_from(a)), default=0)


def is_wanted(path_class: PathClass | None, classes: Sequence[PathClass | None], exclude: Sequence[PathClass]) -> bool:
    """Whether annotations of a class are taken by :func:`make_regions`."""
    depth = _depth(path_class, classes)
    return depth > 0 and depth >= _exclusion_depth(path_class, exclude)


def is_excluded(
    path_class: PathClass | None, classes: Sequence[PathClass | None], exclude: Sequence[PathClass]
) -> bool:
    """Whether annotations of a class are cut out by :func:`make_regions`."""
    return _exclusion_depth(path_class, exclude) > _depth(path_class, classes)


def _exclusion_depth(path_class: PathClass | None, exclude: Sequence[PathClass]) -> int:
    if path_class is None:
        return 0
    return len(path_class.names) if path_class.is_ignored else _depth(path_class, (*EXCLUDED_CLASSES, *exclude))
