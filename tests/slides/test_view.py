"""A cropped, turned, mirrored or reordered slide is the same part of the picture, treated the same way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from her2qp.errors import SlideFormatError, SlideMismatchError
from her2qp.slides import Slide, open_slide
from her2qp.slides.view import Crop, Flip, Frame, Reorder, SlideView, Step, Turn


def treated(pixels: NDArray[np.uint8], steps: tuple[Step, ...]) -> NDArray[np.uint8]:
    """What the steps do to a picture, one after the other, by definition."""
    for step in steps:
        if isinstance(step, Crop):
            pixels = pixels[step.y : step.y + step.height, step.x : step.x + step.width]
        elif isinstance(step, Turn):
            pixels = np.rot90(pixels, -step.quarters)
        elif isinstance(step, Flip):
            pixels = np.flip(pixels, [axis for axis, flipped in enumerate((step.down, step.across)) if flipped])
        else:
            pixels = pixels[..., ["RGB".index(channel) for channel in step.order]]
    return pixels


@st.composite
def step_lists(draw: st.DrawFn) -> tuple[Step, ...]:
    """Up to five steps for a picture of 70 x 50, crops within what the steps before them leave."""
    steps: list[Step] = []
    for kind in draw(st.lists(st.sampled_from((Crop, Turn, Flip, Reorder)), max_size=5)):
        if kind is Crop:
            width, height = Frame.of((70, 50), steps).size
            x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
            steps.append(Crop(x, y, draw(st.integers(1, width - x)), draw(st.integers(1, height - y))))
        elif kind is Turn:
            steps.append(Turn(draw(st.integers(0, 3))))
        elif kind is Flip:
            steps.append(Flip(draw(st.booleans()), draw(st.booleans())))
        else:
            steps.append(Reorder("".join(draw(st.permutations("RGB")))))
    return tuple(steps)


@given(step_lists())
def test_any_steps_together_are_one_frame(steps: tuple[Step, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    frame = Frame.of((70, 50), steps)
    x0, y0, x1, y1 = frame.region
    expected = treated(picture, steps)
    np.testing.assert_array_equal(frame.show(picture[y0:y1, x0:x1]), expected)
    assert frame.size == expected.shape[1::-1]
    x, y, width, height = map(int, frame.in_file(0, 0, 1, 1))
    assert frame.show(picture[y : y + height, x : x + width]).tolist() == expected[:1, :1].tolist()


VIEWS: dict[str, tuple[Step, ...]] = {
    "crop": (Crop(101, 55, 403, 301),),
    "quarter": (Turn(1),),
    "half": (Turn(2),),
    "three quarters": (Turn(3),),
    "mirror": (Flip(across=True, down=False),),
    "blue for red": (Reorder("BGR"),),
    "crop of a quarter": (Turn(1), Crop(20, 30, 333, 555)),
    "all": (Crop(101, 55, 403, 301), Turn(3), Flip(across=False, down=True), Crop(10, 20, 200, 300), Reorder("BRG")),
}


@pytest.fixture
def opened_as(write_tiff: Callable[..., Path], picture: NDArray[np.uint8]) -> Callable[..., tuple[Slide, Slide]]:
    """The picture behind a view, and a file that holds what the view shows."""

    def both(steps: tuple[Step, ...]) -> tuple[Slide, Slide]:
        path = write_tiff("whole.tif", tile=(128, 128))
        shown = write_tiff("shown.tif", np.ascontiguousarray(treated(picture, steps)), tile=(128, 128))
        return open_slide(path, SlideView(steps, file_size=(700, 500))), open_slide(shown)

    return both


@pytest.mark.parametrize("name", VIEWS)
def test_tiles_are_those_of_a_file_that_holds_what_is_shown(
    name: str, opened_as: Callable[..., tuple[Slide, Slide]]
) -> None:
    view, plain = opened_as(VIEWS[name])
    with view, plain:
        assert view.size == plain.size
        width, height = view.size
        bounds = np.array([[0, 0, 96, 96], [33, 41, 129, 137], [width - 50, height - 40, width + 46, height + 56]])
        for side in (96, 48):
            np.testing.assert_array_equal(view.read_tiles(bounds, side), plain.read_tiles(bounds, side))
        uneven = bounds[:, :2].repeat(2, axis=0)[:, [0, 1, 0, 1]] + np.array([-20.5, -7.25, 101.5, 114.75])
        difference = np.abs(view.read_tiles(uneven, 64).astype(int) - plain.read_tiles(uneven, 64))
        assert difference.max() <= 1
        assert np.abs(view.overview(90).astype(int) - plain.overview(90)).max() <= 1


def test_a_crop_of_a_pyramid_takes_the_level_that_is_fine_enough(pyramid: Path, picture: NDArray[np.uint8]) -> None:
    with open_slide(pyramid) as whole, open_slide(pyramid, SlideView((Crop(200, 100, 400, 320), Turn(1)))) as part:
        assert part.level_downsamples == (1.0, 4.0)
        expected = np.rot90(whole.read_region(200, 100, 400, 320, (100, 80)), -1)
        np.testing.assert_array_equal(part.read_region(0, 0, 320, 400, (80, 100)), expected)
        beyond = part.read_region(-40, -40, 400, 480, (100, 120))
    assert (beyond[:10] == 255).all() and (beyond[:, :10] == 255).all()
    np.testing.assert_array_equal(beyond[10:110, 10:90], expected)


def test_views_of_a_file_are_told_apart(pyramid: Path) -> None:
    views = [SlideView(), SlideView(file_size=(700, 500)), SlideView((Turn(0),)), SlideView((Turn(2),))]
    views += [SlideView((Crop(x, 0, 100, 100),)) for x in (0, 1)]
    identities = []
    for view in views:
        with open_slide(pyramid, view) as slide:
            identities.append(slide.identity())
    assert len(set(identities[:3])) == 1
    assert len(set(identities[2:])) == 4


def test_a_pixel_that_is_not_square_turns_with_the_slide(write_tiff: Callable[..., Path]) -> None:
    path = write_tiff(tile=(128, 128), resolution=(40_000, 20_000), resolutionunit="CENTIMETER")
    with open_slide(path) as slide, open_slide(path, SlideView((Turn(1),))) as turned:
        assert slide.mpp == (0.25, 0.5)
        assert turned.mpp == (0.5, 0.25)


@pytest.mark.parametrize(
    ("view", "what"),
    [
        (SlideView((Crop(600, 0, 101, 10),)), "not within the 700 x 500"),
        (SlideView((Turn(1), Crop(0, 0, 700, 500))), "not within the 500 x 700"),
        (SlideView(file_size=(701, 500)), "the QuPath project says 701 x 500"),
        (SlideView((Crop(0, 0, 10, 10),), file_size=(500, 700)), "the QuPath project says 500 x 700"),
    ],
)
def test_another_file_than_the_one_that_was_cropped_is_refused(pyramid: Path, view: SlideView, what: str) -> None:
    with pytest.raises(SlideMismatchError, match=what) as caught:
        open_slide(pyramid, view)
    assert str(pyramid) in str(caught.value)


@pytest.fixture
def two_scenes(tmp_path: Path, picture: NDArray[np.uint8]) -> Path:
    """An OME-TIFF with two images, the second a pyramid."""
    path = tmp_path / "scenes.ome.tif"
    options = {"photometric": "rgb", "tile": (128, 128), "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(np.zeros((300, 300, 3), np.uint8), metadata={"axes": "YXS"}, **options)
        tiff.write(picture, metadata={"axes": "YXS"}, subifds=1, **options)
        tiff.write(np.ascontiguousarray(picture[::2, ::2]), subfiletype=1, **options)
    return path


def test_a_later_series_of_an_ome_tiff_is_read(two_scenes: Path, picture: NDArray[np.uint8]) -> None:
    with open_slide(two_scenes, SlideView((Turn(2),), series=1)) as slide, open_slide(two_scenes) as first:
        assert first.size == (300, 300)
        assert slide.size == (700, 500)
        assert slide.level_downsamples == (1.0, 2.0)
        np.testing.assert_array_equal(slide.read_region(0, 0, 700, 500, (700, 500)), np.rot90(picture, 2))
        assert slide.identity() != first.identity()


def test_a_series_that_cannot_be_told_is_refused(two_scenes: Path, pyramid: Path, tmp_path: Path) -> None:
    (tmp_path / "text.svs").write_text("no slide")
    for path, series in [(two_scenes, 2), (pyramid, 1), (tmp_path / "text.svs", 1)]:
        with pytest.raises(SlideFormatError, match=r"series|damaged"):
            open_slide(path, SlideView(series=series))
