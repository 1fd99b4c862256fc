"""From regions to tiles, on written and on real slides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image
from shapely import box

from her2qp.qupath.objects import PathObject
from her2qp.slides import Slide, open_slide
from her2qp.tiling import PlacedTiles, TileGrid, TissueMask, make_regions, make_tiles, whole_slide_region
from her2qp.tiling.regions import Region, RegionSet

Annotate = Callable[..., PathObject]
GRID = TileGrid(tile_px=100, mpp=1.0, slide_mpp=1.0)


@pytest.fixture
def slide(tmp_path: Path) -> Iterator[Slide]:
    """950 x 750 pixels, tissue in the left 600 columns and glass on the right."""
    pixels = np.full((750, 950, 3), 243, np.uint8)
    pixels[:, :600] = [200, 120, 180]
    path = tmp_path / "half.png"
    Image.fromarray(pixels).save(path)
    with open_slide(path) as opened:
        yield opened


def place(slide: Slide, *annotations: PathObject, grid: TileGrid = GRID, **options: float) -> PlacedTiles:
    return make_tiles(slide, make_regions(annotations, slide_size=slide.size), grid, **options)


def test_tiles_are_aligned_to_the_slide_and_ordered(slide: Slide, annotate: Annotate) -> None:
    placed = place(slide, annotate(box(330, 80, 560, 310), key=1), annotate(box(0, 0, 220, 110), key=2))
    tiles = placed.tiles
    assert placed.reason == ""
    assert tiles.grid.tolist() == [[3, 1], [4, 1], [5, 1], [3, 2], [4, 2], [5, 2], [0, 0], [1, 0]]
    assert tiles.region.tolist() == [0] * 6 + [1] * 2
    np.testing.assert_array_equal(tiles.bounds[0], [300, 100, 400, 200])
    np.testing.assert_array_equal(tiles.centers[0], [350, 150])
    np.testing.assert_allclose(tiles.region_fraction, [0.7, 1, 0.6, 0.7, 1, 0.6, 1, 1], rtol=1e-6)
    assert (tiles.tissue_fraction > 0.98).all()
    dtypes = [getattr(tiles, name).dtype for name in ("bounds", "region", "region_fraction", "tissue_fraction", "grid")]
    assert dtypes == [np.float64, np.int32, np.float32, np.float32, np.int32]


def test_a_tile_belongs_to_one_region_in_any_order(slide: Slide, annotate: Annotate) -> None:
    left, right = annotate(box(0, 0, 150, 200), key="l"), annotate(box(150, 0, 400, 200), key="r")
    placed = [place(slide, *order, min_region=0) for order in ((left, right), (right, left))]
    for tiles in (p.tiles for p in placed):
        assert len(np.unique(tiles.grid, axis=0)) == len(tiles) == 8
    in_half = {tuple(cell) for cell in placed[0].tiles.grid[placed[0].tiles.region == 0].tolist()}
    assert in_half == {tuple(cell) for cell in placed[1].tiles.grid[placed[1].tiles.region == 1].tolist()}


def test_tiles_at_the_border_follow_the_same_rule(slide: Slide, annotate: Annotate) -> None:
    everything = annotate(box(0, 0, 950, 750))
    tiles = place(slide, everything, min_tissue=0).tiles
    # The last column and row reach 50 pixels beyond the slide: half inside, or a quarter in the corner.
    assert len(tiles) == 10 * 8 - 1
    assert tiles.grid.max(axis=0).tolist() == [9, 7]
    assert tiles.region_fraction[(tiles.grid == [9, 3]).all(axis=1)] == 0.5
    assert len(place(slide, everything, min_region=0.6, min_tissue=0).tiles) == 9 * 7
    beyond = tiles.bounds[tiles.grid[:, 0] == 9]
    assert (slide.read_tiles(beyond, 100)[:, :, 50:] == 255).all()


def test_tissue_decides_too(slide: Slide, annotate: Annotate) -> None:
    placed = place(slide, annotate(box(500, 0, 900, 100)))
    assert placed.tiles.grid.tolist() == [[5, 0]]
    assert placed.without_tissue == 3
    every = place(slide, annotate(box(500, 0, 900, 100)), min_tissue=0).tiles
    np.testing.assert_allclose(every.tissue_fraction, [1, 0, 0, 0], atol=0.08)


def test_a_given_tissue_mask_is_taken(slide: Slide, annotate: Annotate) -> None:
    mask = TissueMask(np.array([[False, True]]), slide.size)
    regions = make_regions([annotate(box(0, 0, 900, 100))], slide_size=slide.size)
    tiles = make_tiles(slide, regions, GRID, tissue=mask).tiles
    assert tiles.grid[:, 0].tolist() == [4, 5, 6, 7, 8]
    np.testing.assert_allclose(tiles.tissue_fraction, [0.25, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("geometry", "path_class", "reason"),
    [
        (box(0, 0, 100, 100), "Stroma", "no tumour annotation"),
        (box(2000, 0, 2100, 100), "Tumor", "annotation has no area left on the slide"),
        (box(10, 10, 50, 50), "Tumor", "annotation smaller than 50% of a tile"),
        (box(0, 80, 900, 120), "Tumor", "no place in the annotation holds 50% of a tile"),
        (box(700, 100, 900, 300), "Tumor", "annotation holds no tissue"),
    ],
)
def test_no_tiles_is_a_reason(
    slide: Slide, annotate: Annotate, geometry: shapely.Geometry, path_class: str, reason: str
) -> None:
    placed = place(slide, annotate(geometry, path_class))
    assert (len(placed.tiles), placed.reason) == (0, reason)
    assert placed.tiles.bounds.shape == (0, 4)


def test_overlapping_tiles(slide: Slide, annotate: Annotate) -> None:
    grid = TileGrid(tile_px=100, mpp=1, slide_mpp=1, stride_px=50)
    tiles = place(slide, annotate(box(0, 0, 200, 100)), grid=grid, min_region=1).tiles
    assert tiles.bounds[:, 0].tolist() == [0, 50, 100]


def test_two_runs_at_a_fractional_scale_see_the_same_tiles(slide: Slide, annotate: Annotate) -> None:
    grid = TileGrid(tile_px=64, mpp=0.5, slide_mpp=0.2527)
    all_tiles = place(slide, annotate(box(0, 0, 600, 750)), grid=grid).tiles
    some = place(slide, annotate(box(133, 77, 501, 599)), grid=grid).tiles
    assert {tuple(b) for b in some.bounds.tolist()} <= {tuple(b) for b in all_tiles.bounds.tolist()}
    assert grid.size0 == 64 * 0.5 / 0.2527


@pytest.mark.parametrize("wrong", [{"tile_px": 0}, {"mpp": -1.0}, {"slide_mpp": float("nan")}, {"stride_px": 0}])
def test_a_grid_must_make_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TileGrid(**{"mpp": 0.5, "slide_mpp": 0.25, **wrong})  # type: ignore[arg-type]


def test_a_real_slide(shared: Path, annotate: Annotate) -> None:
    with open_slide(shared / "data" / "wsi" / "CMU-1-Small-Region.svs") as slide:
        grid = TileGrid(mpp=0.5, slide_mpp=0.499)
        hole, ignored = box(900, 1300, 1100, 1600), box(600, 2300, 900, 2600)
        tumour = annotate(box(500, 1000, 1500, 2900) - hole, key=1)
        regions = make_regions([tumour, annotate(ignored, "Ignore*", key=2)], slide_size=slide.size)
        tiles = make_tiles(slide, regions, grid).tiles
        assert len(tiles) > 10
        boxes = shapely.box(*tiles.bounds.T)
        inside = shapely.area(shapely.intersection(boxes, tumour.geometry - ignored)) / grid.size0**2
        np.testing.assert_allclose(tiles.region_fraction, inside, rtol=1e-6)
        assert (inside >= 0.5).all()

        whole = make_tiles(slide, whole_slide_region([], slide_size=slide.size), grid)
        assert whole.without_tissue > 30
        by_tissue = {tuple(cell) for cell in whole.tiles.grid.tolist()}
        assert {tuple(cell) for cell in tiles.grid.tolist()} <= by_tissue


def test_region_set_of_ones_own(slide: Slide) -> None:
    regions = RegionSet([Region(None, None, box(0, 0, 200, 200))])
    assert len(make_tiles(slide, regions, GRID).tiles) == 4
