"""TMA cores become regions of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import shapely
from shapely import Point, box

from her2qp.qupath.objects import ImagePlane, ObjectType, PathObject, RoiKind
from her2qp.tiling import RegionSet, core_regions

SIZE = (1000, 800)
Annotate = Callable[..., PathObject]
Core = Callable[..., PathObject]


@pytest.fixture
def core(annotate: Annotate) -> Core:
    """Makes a TMA core, round, of 100 px radius."""

    def make(name: str, x: float, y: float, path_class: str | None = None, **changes: Any) -> PathObject:
        disc = annotate(Point(x, y).buffer(100), path_class, key=name, kind=RoiKind.ELLIPSE)
        return replace(disc, type=ObjectType.TMA_CORE, name=name, **changes)

    return make


def found(cores: Sequence[PathObject], *annotations: PathObject, **options: Any) -> RegionSet:
    return core_regions(cores, annotations, slide_size=SIZE, **options)


def left_out(regions: RegionSet) -> dict[str | None, str]:
    return {left.core.name: left.reason for left in regions.left_out}


def test_every_core_but_the_missing_is_a_region_in_the_order_of_the_grid(core: Core) -> None:
    cores = [core("A-1", 100, 100), core("A-2", 400, 100, is_missing=True), core("A-3", 700, 100)]
    regions = found(cores)
    assert [(r.core, r.parent_id, r.annotation_id) for r in regions.regions] == [
        (cores[0], cores[0].id, None),
        (cores[2], cores[2].id, None),
    ]
    assert regions.regions[1].geometry.equals(cores[2].geometry)
    assert (left_out(regions), regions.reason) == ({"A-2": "marked missing"}, "")


def test_what_is_excluded_is_cut_out_of_whole_cores(core: Core, annotate: Annotate) -> None:
    one, fold = core("A-1", 200, 200), box(150, 150, 250, 180)
    (region,) = found([one], annotate(fold, "Artefact")).regions
    assert region.geometry.area == pytest.approx(one.geometry.area - fold.area)
    covered = found([one], annotate(box(0, 0, 500, 500), "Ignore*"))
    assert not covered.regions and "covered" in covered.reason


def test_tumour_drawn_in_any_core_restricts_all_and_leaves_out_the_blank_ones(core: Core, annotate: Annotate) -> None:
    cores = [core("A-1", 100, 100), core("A-2", 400, 100), core("A-3", 700, 100)]
    across = annotate(box(150, 50, 350, 150), "Tumor: Invasive", key=1)
    necrosis = annotate(box(170, 60, 180, 70), "Necrosis", key=2)
    regions = found(cores, across, necrosis)
    for region, old in zip(regions.regions, cores[:2], strict=True):
        expected = shapely.difference(shapely.intersection(old.geometry, across.geometry), necrosis.geometry)
        assert region.geometry.symmetric_difference(expected).area < 1e-6
    assert left_out(regions) == {"A-3": "no annotation of class Tumor in it"}
    assert len(found(cores, across, classes=()).regions) == 3


def test_tumour_drawn_beside_the_cores_restricts_nothing(core: Core, annotate: Annotate) -> None:
    assert len(found([core("A-1", 100, 100)], annotate(box(500, 500, 600, 600))).regions) == 1


def test_no_pixel_is_in_two_cores(core: Core) -> None:
    regions = found([core("A-1", 200, 200), core("A-2", 330, 200)]).regions
    assert regions[0].geometry.intersection(regions[1].geometry).area == 0
    assert sum(r.geometry.area for r in regions) == pytest.approx(shapely.union_all([r.geometry for r in regions]).area)


def test_cores_that_cannot_be_scored_say_why(core: Core) -> None:
    cores = [
        core("A-1", 100, 100, "Ignore*"),
        core("A-2", 5000, 100),
        replace(core("A-3", 700, 100), roi=None),
    ]
    regions = found(cores)
    assert left_out(regions) == {
        "A-1": "of the excluded class Ignore*",
        "A-2": "no area on the slide",
        "A-3": "no area on the slide",
    }
    assert any("TMA core A-2 lies outside the slide" in note for note in regions.notes)
    assert regions.reason.startswith("no TMA core can be scored")
    assert found([]).reason == "no TMA core"
    stacked = core("B-1", 100, 100)
    assert stacked.roi is not None
    elsewhere = replace(stacked, roi=replace(stacked.roi, plane=ImagePlane(z=2)))
    assert not found([elsewhere]).regions
