"""Tissue is found where it is, and a picture full of it is not halved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from her2qp.slides import open_slide
from her2qp.tiling.tissue import (
    GLASS_SATURATION,
    MAX_THRESHOLD,
    TissueMask,
    saturation,
    saturation_threshold,
    tissue_pixels,
)


def noisy(colour: tuple[int, int, int], shape: tuple[int, int] = (100, 120)) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return np.clip(np.array(colour) + rng.normal(0, 1.5, (*shape, 1)), 0, 255).astype(np.uint8)


def test_saturation_is_that_of_hsv() -> None:
    pixels = np.array([[[255, 0, 0], [200, 100, 150], [0, 0, 0], [90, 90, 90]]], np.uint8)
    np.testing.assert_allclose(saturation(pixels), [[1, 0.5, 0, 0]])


@pytest.mark.parametrize("glass", [(243, 242, 244), (255, 255, 255), (225, 226, 222), (0, 0, 0)])
def test_glass_alone_holds_no_tissue(glass: tuple[int, int, int]) -> None:
    assert not tissue_pixels(noisy(glass), 8.0).any()


def test_tissue_alone_is_all_tissue() -> None:
    pale_and_strong = np.concatenate([noisy((225, 195, 220)), noisy((150, 60, 140))])
    assert tissue_pixels(pale_and_strong, 8.0).all()


def test_the_border_between_both_is_found_and_small_gaps_are_closed() -> None:
    picture = noisy((243, 242, 244))
    picture[20:80, 30:] = (200, 120, 180)
    picture[49:52, 60:63] = (243, 242, 244)
    picture[35:47, 90:102] = (243, 242, 244)
    mask = tissue_pixels(picture, 8.0)
    expected = np.zeros((100, 120), bool)
    expected[20:80, 30:] = True
    expected[35:47, 90:102] = False
    assert (mask != expected).sum() <= 16
    assert mask[50, 61]
    assert mask[21:79, -1].all()


def test_the_threshold_stays_within_its_bounds() -> None:
    rng = np.random.default_rng(0)
    strong = np.concatenate([rng.uniform(0, 0.01, 500), rng.uniform(0.6, 0.9, 500)]).astype(np.float32)
    assert 0.01 < saturation_threshold(strong) <= MAX_THRESHOLD
    stained = np.concatenate([rng.uniform(0.02, 0.06, 500), rng.uniform(0.3, 0.9, 500)])
    assert saturation_threshold(stained.astype(np.float32)) <= MAX_THRESHOLD
    assert saturation_threshold(rng.uniform(0, 0.03, 500).astype(np.float32)) == GLASS_SATURATION
    assert saturation_threshold(rng.uniform(0.2, 0.9, 500).astype(np.float32)) == GLASS_SATURATION


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000))
def test_fractions_are_exact_areas_of_the_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 11)) < 0.5
    tissue = TissueMask(mask, (1100, 700))
    corner = rng.uniform(-200, 1000, (20, 2))
    bounds = np.concatenate([corner, corner + rng.uniform(10, 400, (20, 2))], axis=1)
    x, y = np.arange(11) * 100.0, np.arange(7) * 100.0
    for (x0, y0, x1, y1), fraction in zip(bounds, tissue.fraction(bounds), strict=True):
        across = np.clip(np.minimum(x1, x + 100) - np.maximum(x0, x), 0, None)
        down = np.clip(np.minimum(y1, y + 100) - np.maximum(y0, y), 0, None)
        assert fraction == pytest.approx(down @ mask @ across / ((x1 - x0) * (y1 - y0)), abs=1e-6)


def test_fractions_of_uniform_masks() -> None:
    bounds = np.array([[0.0, 0, 10, 10], [95, 95, 105, 105], [200, 0, 210, 10]])
    np.testing.assert_allclose(TissueMask(np.ones((5, 5), bool), (100, 100)).fraction(bounds), [1, 0.25, 0])
    assert (TissueMask(np.zeros((5, 5), bool), (100, 100)).fraction(bounds) == 0).all()


def test_real_fields_full_of_tumour_are_full_of_tissue(shared: Path) -> None:
    for path in sorted((shared / "data" / "brca_tiles").glob("*.tif")):
        with open_slide(path) as slide:
            assert TissueMask.from_slide(slide, 0.25).mask.mean() > 0.97


def test_real_slides(shared: Path) -> None:
    for name, mpp, low, high in [
        ("CMU-1-Small-Region.svs", 0.499, 0.3, 0.45),
        ("TCGA-CR-7395-01A-01-TS1.svs", 0.5, 0.5, 0.8),
    ]:
        with open_slide(shared / "data" / "wsi" / name) as slide:
            tissue = TissueMask.from_slide(slide, mpp)
            overview = slide.overview(max(tissue.mask.shape))
        assert low < tissue.mask.mean() < high
        assert overview[~tissue.mask].mean() > 225
        assert overview[tissue.mask].mean() < 205
