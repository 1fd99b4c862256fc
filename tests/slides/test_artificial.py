from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from numpy.typing import NDArray
from tiffslide import TiffSlide

from her2qp.slides.artificial import ArtificialSlide, make_artificial_slide

SIZE = (2048, 1792)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> ArtificialSlide:
    return make_artificial_slide(tmp_path_factory.mktemp("slides") / "case.svs", her2_level=2, size=SIZE, seed=7)


def pixels(slide: ArtificialSlide) -> NDArray[np.uint8]:
    with TiffSlide(slide.path) as opened:
        return np.asarray(opened.read_region((0, 0), 0, slide.size).convert("RGB"))


def inside(slide: ArtificialSlide, area: shapely.Geometry, step: int = 1) -> NDArray[np.bool_]:
    x, y = np.meshgrid(np.arange(0, slide.size[0], step) + 0.5, np.arange(0, slide.size[1], step) + 0.5)
    shapely.prepare(area)
    return np.asarray(shapely.contains_xy(area, x, y))


def hematoxylin(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Haematoxylin's density by the published vectors of Ruifrok and Johnston, not by those that painted the slide."""
    density = -np.log10((rgb.astype(float) + 1.0) / 256.0)
    vectors = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (density @ np.linalg.inv(vectors))[..., 0]


def test_readers_take_it_for_an_aperio_slide(slide: ArtificialSlide) -> None:
    with TiffSlide(slide.path) as opened:
        assert opened.properties["tiffslide.vendor"] == "aperio"
        assert float(opened.properties["tiffslide.mpp-x"]) == 0.25
        assert float(opened.properties["tiffslide.mpp-y"]) == 0.25
        assert float(opened.properties["tiffslide.objective-power"]) == 40
        assert opened.level_dimensions == ((2048, 1792), (512, 448))
        assert opened.level_downsamples == (1.0, 4.0)
        assert "thumbnail" in opened.associated_images


def test_pages_follow_aperios_order_and_say_artificial(slide: ArtificialSlide) -> None:
    with tifffile.TiffFile(slide.path) as tiff:
        assert [page.is_tiled for page in tiff.pages] == [True, False, True]
        assert tiff.pages[0].description.startswith("Aperio Image Library")
        assert "|AppMag = 40|MPP = 0.2500|" in tiff.pages[0].description
        assert "artificial" in tiff.pages[0].description.splitlines()[0]
        assert "drawing" in tiff.pages[0].description


def test_openslide_reads_it_alike(slide: ArtificialSlide) -> None:
    openslide = pytest.importorskip("openslide", reason="the openslide extra is not installed")
    with openslide.OpenSlide(slide.path) as opened:
        assert opened.properties["openslide.vendor"] == "aperio"
        assert float(opened.properties["openslide.mpp-x"]) == 0.25
        region = np.asarray(opened.read_region((512, 512), 0, (256, 256)).convert("RGB"))
    assert np.abs(region.astype(int) - pixels(slide)[512:768, 512:768]).max() <= 8


def test_same_seed_gives_the_same_file(slide: ArtificialSlide, tmp_path: Path) -> None:
    again = make_artificial_slide(tmp_path / "case.svs", her2_level=2, size=SIZE, seed=7)
    assert again.path.read_bytes() == slide.path.read_bytes()
    assert again.tumour.equals(slide.tumour)


def test_another_seed_gives_another_slide(slide: ArtificialSlide, tmp_path: Path) -> None:
    other = make_artificial_slide(tmp_path / "case.svs", her2_level=2, size=SIZE, seed=8)
    assert not other.tumour.equals(slide.tumour)
    assert (pixels(other) != pixels(slide)).any()


@pytest.mark.parametrize("seed", range(3))
def test_outlines_are_valid_and_lie_where_they_should(seed: int, tmp_path: Path) -> None:
    made = make_artificial_slide(tmp_path / "case.svs", her2_level=3, size=SIZE, seed=seed)
    frame = shapely.box(0, 0, *SIZE)
    for outline in (made.tumour, made.nests, made.stroma, made.fat, made.necrosis):
        assert outline.is_valid
        assert outline.difference(frame).is_empty
    assert made.tumour.area > 0.02 * frame.area
    assert made.nests.difference(made.tumour).area < 0.02 * made.nests.area
    assert made.nests.area > 0.4 * made.tumour.area
    assert made.stroma.intersection(made.nests).area < 1.0
    assert made.fat.intersection(made.tumour).area < 1.0


def test_glass_is_white_fat_is_pale_and_tissue_is_stained(slide: ArtificialSlide) -> None:
    rgb = pixels(slide).astype(float).mean(axis=-1)
    tissue = shapely.union_all([slide.stroma, slide.tumour, slide.fat]).buffer(60)
    glass, stroma, fat = (inside(slide, area) for area in (tissue, slide.stroma.buffer(-4), slide.fat.buffer(-4)))
    glass = ~glass
    assert glass.any()
    assert rgb[glass].min() > 215
    assert rgb[stroma].mean() < 200
    assert not fat.any() or rgb[fat].mean() > rgb[stroma].mean() + 15


def test_nuclei_follow_the_her2_level(tmp_path: Path) -> None:
    """Share of nuclear pixels and their darkness in the nests, averaged over cases, grow from 0 to 3+."""
    burden = []
    for level in (0, 3):
        of_level = []
        for seed in range(2):
            made = make_artificial_slide(tmp_path / "case.svs", her2_level=level, size=(1800, 1800), seed=seed)
            density = hematoxylin(pixels(made)[::3, ::3][inside(made, made.nests, step=3)])
            of_level.append((density > 0.4).mean())
        burden.append(of_level)
    assert np.mean(burden[1]) > 1.4 * np.mean(burden[0])
    assert min(burden[1]) > max(burden[0])


def test_pixel_size_sets_the_size_of_cells_not_of_the_tissue(tmp_path: Path) -> None:
    fine = make_artificial_slide(tmp_path / "fine.svs", her2_level=1, size=(2048, 2048), mpp=0.25, seed=5)
    coarse = make_artificial_slide(tmp_path / "coarse.svs", her2_level=1, size=(1024, 1024), mpp=0.5, seed=5)
    assert coarse.tumour.area == pytest.approx(fine.tumour.area / 4, rel=1e-6)
    with TiffSlide(coarse.path) as opened:
        assert float(opened.properties["tiffslide.objective-power"]) == 20
        assert float(opened.properties["tiffslide.mpp-x"]) == 0.5


@pytest.mark.parametrize("level", [-1, 4])
def test_unknown_level_is_refused(level: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="her2_level"):
        make_artificial_slide(tmp_path / "case.svs", her2_level=level, seed=1)


def test_too_small_slide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 400 µm"):
        make_artificial_slide(tmp_path / "case.svs", her2_level=1, size=(4096, 512), seed=1)
    assert not list(tmp_path.iterdir())
