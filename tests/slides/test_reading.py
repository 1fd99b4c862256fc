"""What a slide gives out is what plain tiffslide and Pillow give, only faster and at exact positions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiffslide
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from her2qp.slides import open_slide
from her2qp.slides.resample import Box, resample, source_box

ENCODINGS: dict[str, dict[str, Any]] = {
    "jpeg 4:2:0": {"tile": (128, 128), "compression": "jpeg", "subsampling": (2, 2)},
    "jpeg 4:2:2": {"tile": (128, 128), "compression": "jpeg", "subsampling": (2, 1)},
    "jpeg 4:4:4": {"tile": (256, 256), "compression": "jpeg", "subsampling": (1, 1)},
    "jpeg stored as rgb": {"tile": (128, 128), "compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}},
    "jpeg strips": {"rowsperstrip": 64, "compression": "jpeg"},
    "jpeg 2000": {"tile": (128, 128), "compression": "jpeg2000"},
    "deflate": {"tile": (112, 240), "compression": "deflate", "predictor": True},
    "lzw strips": {"rowsperstrip": 33, "compression": "lzw"},
    "plain strips": {"rowsperstrip": 500},
    "plain big tiff": {"tile": (128, 128), "bigtiff": True, "byteorder": ">"},
}


def area_average(pixels: NDArray[np.uint8], box: Box, out_size: tuple[int, int]) -> NDArray[np.float64]:
    """Exact mean over the area of each output pixel, straight from the definition."""

    def weights(low: float, high: float, count: int, length: int) -> NDArray[np.float64]:
        edges = np.linspace(low, high, count + 1)
        position = np.arange(length)
        overlap = np.minimum(edges[1:, None], position + 1) - np.maximum(edges[:-1, None], position)
        return np.clip(overlap, 0, None) / (edges[1:] - edges[:-1])[:, None]

    height, width = pixels.shape[:2]
    across = weights(box.x0, box.x1, out_size[0], width)
    down = weights(box.y0, box.y1, out_size[1], height)
    return np.einsum("yi,ijc,xj->yxc", down, pixels.astype(np.float64), across, optimize=True)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_level_0_pixels_are_those_of_tiffslide(encoding: str, write_tiff: Callable[..., Path]) -> None:
    path = write_tiff(**ENCODINGS[encoding])
    with open_slide(path) as slide, tiffslide.TiffSlide(path) as plain:
        assert slide.reader == "tiff"
        assert slide.size == plain.dimensions == (700, 500)
        for x, y, width, height in [(0, 0, 700, 500), (120, 100, 300, 250), (699, 499, 1, 1)]:
            expected = plain.read_region((x, y), 0, (width, height), as_array=True)
            np.testing.assert_array_equal(slide.read_region(x, y, width, height, (width, height)), expected)


@pytest.mark.parametrize("encoding", ["jpeg 4:2:0", "lzw strips"])
def test_halving_is_the_area_average(encoding: str, write_tiff: Callable[..., Path]) -> None:
    path = write_tiff(**ENCODINGS[encoding])
    with open_slide(path) as slide:
        full = slide.read_region(0, 0, 512, 448, (512, 448))
        expected = np.asarray(Image.fromarray(full).reduce(2))
        np.testing.assert_array_equal(slide.read_region(0, 0, 512, 448, (256, 224)), expected)


def test_grey_and_transparent_pixels_become_rgb(write_tiff: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    grey = write_tiff("grey.tif", picture[..., 0], photometric="minisblack", tile=(128, 128))
    with open_slide(grey) as slide:
        np.testing.assert_array_equal(slide.read_region(0, 0, 700, 500, (700, 500)), picture[..., [0, 0, 0]])
    alpha = np.full((500, 700, 1), 255, np.uint8)
    alpha[:250] = 0
    path = write_tiff(
        "rgba.tif", np.concatenate([picture, alpha], axis=2), extrasamples=["unassalpha"], tile=(128, 128)
    )
    with open_slide(path) as slide:
        pixels = slide.read_region(0, 0, 700, 500, (700, 500))
    assert (pixels[:250] == 255).all()
    np.testing.assert_array_equal(pixels[250:], picture[250:])


def test_a_level_of_several_pages_is_left_to_tiffslide(
    write_tiff: Callable[..., Path], picture: NDArray[np.uint8]
) -> None:
    planes = np.moveaxis(picture, 2, 0)
    path = write_tiff(
        "slide.ome.tif", planes, photometric="minisblack", ome=True, metadata={"axes": "CYX"}, tile=(128, 128)
    )
    with open_slide(path) as slide:
        assert slide.reader == "tiffslide"
        np.testing.assert_array_equal(slide.read_region(10, 20, 300, 200, (300, 200)), picture[20:220, 10:310])


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_a_plain_picture_is_a_slide(tmp_path: Path, picture: NDArray[np.uint8], suffix: str) -> None:
    path = tmp_path / f"field{suffix}"
    Image.fromarray(picture).save(path)
    with open_slide(path) as slide:
        assert (slide.reader, slide.size, slide.level_downsamples) == ("pillow", (700, 500), (1.0,))
        np.testing.assert_array_equal(slide.read_region(5, 6, 70, 80, (70, 80)), picture[6:86, 5:75])


def test_the_pyramid_is_used_as_far_as_it_is_fine_enough(pyramid: Path, picture: NDArray[np.uint8]) -> None:
    with open_slide(pyramid) as slide:
        assert slide.mpp == (0.25, 0.25)
        assert slide.level_downsamples == (1.0, 4.0)
        with tiffslide.TiffSlide(pyramid) as plain:
            level1 = plain.read_region((0, 0), 1, (175, 125), as_array=True)
        np.testing.assert_array_equal(slide.read_region(0, 0, 700, 500, (175, 125)), level1)
        at_3 = slide.read_region(0, 0, 600, 480, (200, 160))
        np.testing.assert_array_equal(at_3, np.asarray(Image.fromarray(picture[:480, :600]).reduce(3)))


def test_outside_of_the_slide_is_white(write_tiff: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    with open_slide(write_tiff(tile=(128, 128))) as slide:
        tile = slide.read_tiles(
            np.array([[600.0, 400.0, 856.0, 656.0], [-256, -256, 0, 0], [9e5, 0, 9e5 + 256, 256]]), 256
        )
    np.testing.assert_array_equal(tile[0, :100, :100], picture[400:, 600:])
    assert (tile[0, 100:] == 255).all()
    assert (tile[0, :, 100:] == 255).all()
    assert (tile[1:] == 255).all()


def test_a_tile_does_not_depend_on_what_is_read_with_it(write_tiff: Callable[..., Path]) -> None:
    path = write_tiff(**ENCODINGS["jpeg 4:2:0"])
    rng = np.random.default_rng(1)
    corner = rng.uniform(-50, 600, (40, 2))
    bounds = np.concatenate([corner, corner + 101.3], axis=1)
    with open_slide(path) as slide:
        together = slide.read_tiles(bounds, 64)
    with open_slide(path) as slide, ThreadPoolExecutor(4) as pool:
        order = rng.permutation(len(bounds))
        singly = list(pool.map(lambda row: slide.read_tiles(bounds[row : row + 1], 64)[0], order.tolist()))
    np.testing.assert_array_equal(np.stack(singly), together[order])


def test_no_tiles_are_an_empty_array(pyramid: Path) -> None:
    with open_slide(pyramid) as slide:
        assert slide.read_tiles(np.empty((0, 4)), 32).shape == (0, 32, 32, 3)


def test_neighbouring_tiles_fit_together_at_a_fractional_scale(pyramid: Path) -> None:
    side = 64 * 0.5 / 0.2527
    with open_slide(pyramid) as slide:
        whole = slide.read_region(0, 0, 4 * side, 2 * side, (256, 128)).astype(int)
        for column in range(4):
            tile = slide.read_region(column * side, side, side, side, (64, 64))
            assert np.abs(tile - whole[64:, 64 * column : 64 * (column + 1)]).max() <= 1


def test_a_huge_region_is_put_together_from_parts(
    pyramid: Path, monkeypatch: pytest.MonkeyPatch, picture: NDArray[np.uint8]
) -> None:
    with open_slide(pyramid) as slide:
        in_one = slide.read_region(3.5, 1.25, 660, 470, (331, 234)).astype(int)
        monkeypatch.setattr("her2qp.slides.slide.MAX_SOURCE_PIXELS", 4096)
        in_parts = slide.read_region(3.5, 1.25, 660, 470, (331, 234))
    assert np.abs(in_one - in_parts).max() <= 1


def test_overview_shows_the_whole_slide(pyramid: Path, picture: NDArray[np.uint8]) -> None:
    with open_slide(pyramid) as slide:
        assert slide.overview(10_000).shape == picture.shape
        small = slide.overview(70)
    assert small.shape == (50, 70, 3)
    expected = area_average(picture, Box(0, 0, 700, 500), (70, 50))
    assert np.abs(small - expected).mean() < 2.5


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(0, 300), y=st.floats(0, 200), scale=st.floats(1.05, 6), size=st.integers(8, 40), seed=st.integers(0, 9)
)
def test_reduction_is_near_the_exact_area_average(x: float, y: float, scale: float, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 220, (60, 70, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((560, 480), Image.Resampling.BICUBIC))
    box = Box(x, y, x + size * scale, y + size * scale).snapped()
    x0, y0, x1, y1 = source_box(box, (size, size))
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, 560), min(y1, 480)
    result = resample(np.ascontiguousarray(pixels[y0:y1, x0:x1]), (x0, y0), box, (size, size))
    assert np.abs(result - area_average(pixels, box, (size, size))).mean() < 2.5


def test_real_slides_read_like_tiffslide(shared: Path) -> None:
    for name, scale in [("CMU-1-Small-Region.svs", 2), ("TCGA-CR-7395-01A-01-TS1.svs", 1)]:
        path = shared / "data" / "wsi" / name
        with open_slide(path) as slide, tiffslide.TiffSlide(path) as plain:
            assert slide.reader == "tiff"
            bounds = np.array([[700.0, 900, 700 + 256 * scale, 900 + 256 * scale], [1024, 512, 1536, 1024][:4]])
            bounds[1, 2:] = bounds[1, :2] + 256 * scale
            for (x0, y0, x1, y1), tile in zip(bounds, slide.read_tiles(bounds, 256), strict=True):
                region = plain.read_region((int(x0), int(y0)), 0, (int(x1 - x0), int(y1 - y0)))
                np.testing.assert_array_equal(tile, np.asarray(region.convert("RGB").reduce(scale)))


def test_real_fields_and_their_tags(shared: Path) -> None:
    fields = sorted((shared / "data" / "brca_tiles").glob("*.tif"))
    assert len(fields) == 6
    for path in fields:
        with open_slide(path) as slide:
            assert slide.size == (1000, 1000)
            assert slide.mpp is None or slide.mpp[0] > 300
    for path in sorted((shared / "data" / "he").iterdir()):
        with open_slide(path) as slide:
            assert slide.overview(64).std() > 5
