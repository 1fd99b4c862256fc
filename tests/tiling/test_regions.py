"""Annotations become disjoint regions, whatever a pathologist drew."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import LineString, MultiPoint, MultiPolygon, Point, Polygon, box

from her2qp.qupath.classes import PathClass
from her2qp.qupath.objects import ImagePlane, PathObject, RoiKind
from her2qp.tiling import TUMOR, RegionSet, make_regions, whole_slide_region

SIZE = (1000, 800)
with np.errstate(invalid="ignore"):
    NOT_A_NUMBER = Polygon([(0, 0), (float("nan"), 5), (5, 5)])
    INFINITE = Polygon([(0, 0), (float("inf"), 5), (5, 5)])
Annotate = Callable[..., PathObject]


def regions_of(*annotations: PathObject, **options: Any) -> RegionSet:
    return make_regions(annotations, slide_size=SIZE, **options)


def classes_of(found: RegionSet) -> list[str]:
    return [str(region.path_class) for region in found.regions]


def test_tumour_and_what_derives_from_it_is_taken(annotate: Annotate) -> None:
    found = regions_of(
        annotate(box(0, 0, 10, 10), "Tumor", key=1),
        annotate(box(20, 0, 30, 10), "Tumor: Invasive", key=2),
        annotate(box(40, 0, 50, 10), "Stroma", key=3),
        annotate(box(60, 0, 70, 10), "Tumor-free", key=4),
        annotate(box(80, 0, 90, 10), None, key=5),
    )
    assert classes_of(found) == ["Tumor", "Tumor: Invasive"]
    assert (found.reason, found.missing_classes, found.notes) == ("", (), ())


def test_unclassified_annotations_are_taken_when_asked_for(annotate: Annotate) -> None:
    annotations = [annotate(box(0, 0, 10, 10), None, key=1), annotate(box(20, 0, 30, 10), "Tumor", key=2)]
    assert classes_of(regions_of(*annotations, classes=(None,))) == ["None"]
    assert classes_of(regions_of(*annotations, classes=(None, TUMOR))) == ["None", "Tumor"]


@pytest.mark.parametrize(
    "excluded", ["Ignore*", "Region*", "Tumor: Ignore*", "Necrosis", "Necrosis: Old", "Artefact", "Artifacts"]
)
def test_excluded_classes_are_cut_out_exactly(annotate: Annotate, excluded: str) -> None:
    outer, hole, cutout = box(100, 100, 500, 500), box(150, 150, 200, 200), Point(300, 300).buffer(77.7)
    found = regions_of(annotate(outer - hole, key=1), annotate(cutout, excluded, key=2))
    (region,) = found.regions
    assert shapely.equals(region.geometry, outer - hole - cutout)
    assert region.geometry.area == pytest.approx(400**2 - 50**2 - cutout.area, rel=1e-12)


def test_the_more_specific_name_decides(annotate: Annotate) -> None:
    necrotic = annotate(box(0, 0, 10, 10), "Tumor: Necrosis", key=1)
    tumour = annotate(box(0, 0, 30, 30), "Tumor", key=2)
    assert len(regions_of(necrotic, tumour).regions) == 2
    cut = regions_of(necrotic, tumour, exclude=[PathClass(("Tumor", "Necrosis"))])
    assert [r.geometry.area for r in cut.regions] == [800]
    asked_for = regions_of(annotate(box(0, 0, 10, 10), "Region*"), classes=[PathClass(("Region*",))])
    assert classes_of(asked_for) == ["Region*"]


def test_overlap_goes_to_the_smaller_annotation(annotate: Annotate) -> None:
    large = annotate(box(0, 0, 300, 300), key="large")
    inner = annotate(box(100, 100, 200, 200), key="inner")
    crossing = annotate(box(250, 0, 350, 200), key="crossing")
    found = regions_of(large, inner, crossing)
    assert [r.geometry.area for r in found.regions] == [300 * 300 - 100 * 100 - 50 * 200, 100 * 100, 100 * 200]


def test_the_same_annotation_twice_is_one_region_and_a_note(annotate: Annotate) -> None:
    twins = [annotate(box(0, 0, 300, 300), key=key) for key in (1, 2)]
    first, second = sorted(twins, key=lambda a: a.id.bytes)
    for order in (twins, twins[::-1]):
        found = regions_of(*order)
        assert [r.annotation_id for r in found.regions] == [first.id]
        assert found.notes == (
            f"annotation {second.id} is covered by excluded or smaller annotations: nothing is left",
        )


def test_a_multipolygon_is_one_region(annotate: Annotate) -> None:
    parts = MultiPolygon([box(0, 0, 10, 10), box(50, 50, 70, 70)])
    (region,) = regions_of(annotate(parts)).regions
    assert region.geometry.area == 500


def test_a_self_crossing_outline_is_repaired_and_noted(annotate: Annotate) -> None:
    bowtie = annotate(Polygon([(0, 0), (100, 100), (100, 0), (0, 100)]))
    found = regions_of(bowtie)
    assert found.regions[0].geometry.is_valid
    assert found.regions[0].geometry.area == pytest.approx(5000)
    assert found.notes == (f"annotation {bowtie.id} crosses itself: repaired",)


@pytest.mark.parametrize(
    ("geometry", "said"),
    [
        (LineString([(0, 0), (10, 10)]), "no area"),
        (MultiPoint([(1, 1), (2, 2)]), "no area"),
        (Polygon(), "no area"),
        (Polygon([(0, 0), (10, 10), (20, 20)]), "no area"),
        (box(5, 5, 5, 50), "no area"),
        (box(1000, 0, 1100, 100), "outside the slide"),
        (box(-50, -50, 0, -10), "outside the slide"),
        (NOT_A_NUMBER, "no numbers"),
        (INFINITE, "no numbers"),
    ],
)
def test_what_has_no_area_is_left_out_with_a_note(annotate: Annotate, geometry: Any, said: str) -> None:
    useless = annotate(geometry, key="useless")
    found = regions_of(useless)
    assert (found.regions, found.reason) == ([], "annotation has no area left on the slide")
    (note,) = found.notes
    assert str(useless.id) in note
    assert said in note
    assert len(regions_of(useless, annotate(box(0, 0, 9, 9), key="good")).regions) == 1


def test_other_planes_are_left_out_with_a_note(annotate: Annotate) -> None:
    found = regions_of(annotate(box(0, 0, 10, 10), plane=ImagePlane(z=2)), annotate(box(0, 0, 5, 5), key=1))
    assert len(found.regions) == 1
    assert "z-slice 2" in found.notes[0]
    cut = regions_of(annotate(box(0, 0, 10, 10)), annotate(box(0, 0, 5, 5), "Ignore*", key=1, plane=ImagePlane(t=1)))
    assert cut.regions[0].geometry.area == 100


def test_what_reaches_beyond_the_slide_is_cut_off_with_a_note(annotate: Annotate) -> None:
    found = regions_of(annotate(box(-100, 700, 100, 900), kind=RoiKind.RECTANGLE))
    assert found.regions[0].geometry.bounds == (0, 700, 100, 800)
    assert "cut off" in found.notes[0]


def test_nothing_to_score_has_a_reason(annotate: Annotate) -> None:
    assert regions_of().reason == "no tumour annotation"
    stroma = annotate(box(0, 0, 9, 9), "Stroma")
    wanted = (PathClass(("Immune cells",)), None)
    found = regions_of(stroma, classes=wanted)
    assert found.reason == "no annotation of class Immune cells or (unclassified)"
    assert found.missing_classes == wanted
    covered = regions_of(annotate(box(0, 0, 9, 9)), annotate(box(0, 0, 99, 99), "Ignore*", key=1))
    assert covered.reason == "annotation has no area left on the slide"
    assert regions_of(annotate(box(0, 0, 9, 9), "Tumor: A"), classes=(TUMOR,)).missing_classes == ()


def test_whole_slide(annotate: Annotate) -> None:
    found = whole_slide_region(
        [annotate(box(0, 0, 100, 100), "Ignore*"), annotate(box(0, 0, 500, 500), "Tumor")], slide_size=SIZE
    )
    (region,) = found.regions
    assert region.annotation_id is None
    assert region.geometry.area == 1000 * 800 - 100 * 100
    nothing = whole_slide_region([annotate(box(-5, -5, 2000, 2000), "Ignore*")], slide_size=SIZE)
    assert (nothing.regions, nothing.reason) == ([], "the whole slide is excluded")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 9))
def test_regions_are_disjoint_and_lose_nothing_in_any_order(annotate: Annotate, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    names = ["Tumor", "Tumor: B", "Ignore*", "Necrosis", "Stroma"]
    annotations = []
    for key in range(count):
        angle = np.sort(rng.uniform(0, 2 * math.pi, 9))
        radius = rng.uniform(20, 300, 9)
        x, y = rng.uniform(-50, 1050), rng.uniform(-50, 850)
        outline = Polygon(np.c_[x + radius * np.cos(angle), y + radius * np.sin(angle)])
        annotations.append(
            annotate(shapely.make_valid(outline), names[rng.choice(5, p=[0.5, 0.1, 0.1, 0.1, 0.2])], key=key)
        )
    found = regions_of(*annotations)

    wanted = [a.geometry for a in annotations if str(a.path_class).startswith("Tumor")]
    cut = [a.geometry for a in annotations if str(a.path_class) in ("Ignore*", "Necrosis")]
    expected = shapely.difference(
        shapely.intersection(shapely.union_all(wanted), box(0, 0, *SIZE)), shapely.union_all(cut)
    )
    shapes = [r.geometry for r in found.regions]
    assert all(shape.is_valid and shape.area > 0 for shape in shapes)
    assert sum(shape.area for shape in shapes) == pytest.approx(expected.area, rel=1e-9, abs=1e-6)
    assert shapely.union_all(shapes).area == pytest.approx(expected.area, rel=1e-9, abs=1e-6)

    random.Random(seed).shuffle(annotations)
    areas = {r.annotation_id: r.geometry.area for r in found.regions}
    assert {r.annotation_id: r.geometry.area for r in regions_of(*annotations).regions} == pytest.approx(
        areas, rel=1e-9
    )
