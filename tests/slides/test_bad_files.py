"""A file that cannot be read is one clear error, whatever is wrong with it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from her2qp.errors import SlideError, SlideFormatError, SlideMismatchError, SlideNotFoundError
from her2qp.slides import check_size, open_slide

needs_no_openslide = pytest.mark.skipif(
    importlib.util.find_spec("openslide") is not None, reason="OpenSlide is installed and may read the file"
)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(SlideNotFoundError, match="no such slide file"):
        open_slide(tmp_path / "none.svs")
    with pytest.raises(SlideNotFoundError):
        open_slide(tmp_path)


@needs_no_openslide
@pytest.mark.parametrize("content", [b"x", b"garbage" * 100, b"II*\0", b"II*\0" + b"\xff" * 400, b"MM\0+" + bytes(99)])
@pytest.mark.parametrize("name", ["a.svs", "a.tif", "a.mrxs"])
def test_garbage_names_the_extra(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SlideFormatError, match=r'pip install "her2qp\[openslide\]"'):
        open_slide(path)


@pytest.mark.parametrize("name", ["a.svs", "a.png", "a.jpg"])
def test_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(SlideFormatError, match="empty"):
        open_slide(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_picture(tmp_path: Path, picture: NDArray[np.uint8], suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(picture).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SlideFormatError, match="damaged or incomplete"):
        open_slide(path)


def test_a_picture_too_large_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (200, 200)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 39_999)
    with pytest.raises(SlideFormatError, match="too large"):
        open_slide(path)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_half_copied_slide_is_found_at_once(write_tiff: Callable[..., Path], kept: float) -> None:
    path = write_tiff(tile=(128, 128), compression="jpeg")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(SlideFormatError, match=r"slide\.tif.*ends before its last tile"):
        open_slide(path)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "deflate", "lzw"])
def test_a_damaged_tile_is_told_when_it_is_read(write_tiff: Callable[..., Path], compression: str) -> None:
    path = write_tiff(tile=(256, 256), compression=compression)
    with open_slide(path) as slide:
        page = slide._opened.levels[0].page  # type: ignore[attr-defined]
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = b"\x55" * count
    path.write_bytes(content)
    with open_slide(path) as slide:
        with pytest.raises(SlideFormatError, match="tile 0"):
            slide.read_tiles(np.array([[0.0, 0, 256, 256]]), 128)
        assert slide.read_tiles(np.array([[256.0, 0, 512, 256]]), 128).std() > 1


def test_not_8_bit(write_tiff: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    path = write_tiff(pixels=picture.astype(np.uint16) * 257, tile=(128, 128))
    with pytest.raises(SlideFormatError, match="not 8-bit RGB"):
        open_slide(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_shows_anything_but_a_slide_error(data: st.DataObject, pyramid: Path, tmp_path: Path) -> None:
    content = bytearray(pyramid.read_bytes())
    tail = len(content) // 2
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, 300) | st.integers(tail, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.svs"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        with open_slide(path) as slide:
            slide.overview(100)
    except SlideError as error:
        assert "damaged.svs" in str(error)


@needs_no_openslide
def test_dicom_names_the_extra(shared: Path) -> None:
    with pytest.raises(SlideFormatError, match="openslide"):
        open_slide(shared / "data" / "wsi" / "multiframe_camelyon_challenge_image.dcm")


def test_another_slide_than_the_project_says(pyramid: Path) -> None:
    with open_slide(pyramid) as slide:
        check_size(slide, (700, 500), where="image 1")
        check_size(slide, None, where="image 1")
        with pytest.raises(SlideMismatchError, match=r"image 1.*700 x 500.*701 x 500.*pyramid\.svs"):
            check_size(slide, (701, 500), where="image 1")
