"""TMA cores to regions: on a tissue microarray every core is looked at by itself."""

from __future__ import annotations

from collections.abc import Sequence

import shapely

from her2qp.qupath.classes import PathClass
from her2qp.qupath.objects import PathObject
from her2qp.tiling.areas import areas_on_slide, restrict, subtract, without_overlaps
from her2qp.tiling.regions import TUMOR, LeftOut, Region, RegionSet, is_excluded, is_wanted, spell

MISSING = "marked missing"
"""Why a core is left out that QuPath, or a person, found to be lost."""


def core_regions(
    cores: Sequence[PathObject],
    annotations: Sequence[PathObject],
    *,
    slide_size: tuple[int, int],
    classes: Sequence[PathClass | None] = (TUMOR,),
    exclude: Sequence[PathClass] = (),
) -> RegionSet:
    """Turn the cores of a tissue microarray into disjoint regions, one for each core that can be scored.

    If somebody annotated tumour in any core, what is scored of each core is its tumour, and a core without is left
    out: on an array that was annotated, a blank core is one in which no tumour was found, and a grade of its stroma
    would be taken for one of a tumour. If no core holds such an annotation, whole cores are scored. What is excluded is
    cut out in either case, as :func:`~her2qp.tiling.regions.make_regions` does.

    Parameters
    ----------
    cores
        TMA cores of one image, in the order of their grid.
    annotations
        Annotations of the image, whether or not they are children of a core: their place decides.
    slide_size
        Width and height of level 0; what lies beyond is cut off.
    classes
        Classes whose annotations restrict the cores; without any, whole cores are scored.
    exclude
        Further classes to cut out. A core of such a class is left out.

    Returns
    -------
    RegionSet
        Possibly empty; every core is either a region or left out.
    """
    notes: list[str] = []
    reasons = {core.id: _why_not(core, classes, exclude) for core in cores}
    taken, discs = areas_on_slide([core for core in cores if not reasons[core.id]], slide_size, notes)
    _, drawn = areas_on_slide([a for a in annotations if is_wanted(a.path_class, classes, exclude)], slide_size, notes)
    _, cutouts = areas_on_slide(
        [a for a in annotations if is_excluded(a.path_class, classes, exclude)], slide_size, notes
    )
    shapes = without_overlaps(discs, [core.id for core in taken])
    outlined = restrict(shapes, drawn)
    is_annotated = not shapely.is_empty(outlined).all()
    if is_annotated:
        shapes = outlined
    regions = []
    for core, shape, part in zip(taken, shapes, subtract(shapes, cutouts), strict=True):
        if not shapely.is_empty(part):
            regions.append(Region(None, core.path_class, part, core))
        elif shapely.is_empty(shape) and is_annotated:
            reasons[core.id] = f"no annotation of class {spell(classes)} in it"
        else:
            reasons[core.id] = "covered by excluded annotations or other cores"
    scored = {region.parent_id for region in regions}
    left_out = [LeftOut(core, reasons[core.id] or "no area on the slide") for core in cores if core.id not in scored]
    return RegionSet(regions, _why_none(cores, left_out), notes=tuple(notes), left_out=tuple(left_out))


def _why_not(core: PathObject, classes: Sequence[PathClass | None], exclude: Sequence[PathClass]) -> str:
    """Why a core is not scored wherever it lies; empty if it may be."""
    if core.is_missing:
        return MISSING
    return f"of the excluded class {core.path_class}" if is_excluded(core.path_class, classes, exclude) else ""


def _why_none(cores: Sequence[PathObject], left_out: Sequence[LeftOut]) -> str:
    if len(left_out) < len(cores):
        return ""
    if not cores:
        return "no TMA core"
    reasons = {left.reason for left in left_out}
    return f"no TMA core can be scored: {', '.join(sorted(reasons))}"
