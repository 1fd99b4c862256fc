"""Opening a slide file with whatever can read it: tiffslide, Pillow, or OpenSlide where it is installed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import SlideFormatError, SlideNotFoundError
from her2qp.slides.damage import COPY_AGAIN, DAMAGED, READ_ERRORS
from her2qp.slides.levels import ArrayLevel, Level, LibraryLevel, as_rgb
from her2qp.slides.segments import SegmentCache, SegmentedLevel, SharedFile

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
_MICRONS_PER_INCH = 25400.0
_NEEDS_OPENSLIDE = 'OpenSlide may read it: pip install "her2qp[openslide]".'


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """An open slide file.

    Parameters
    ----------
    reader
        What reads it: ``tiff``, ``tiffslide``, ``pillow`` or ``openslide``.
    levels
        The pyramid, level 0 first.
    mpp
        Pixel width and height in µm as the file says, unchecked; None if it does not.
    close
        Releases the file.
    """

    reader: str
    levels: tuple[Level, ...]
    mpp: tuple[float, float] | None
    close: Callable[[], None]


def open_file(path: Path, *, series: int = 0) -> OpenedFile:
    """Open a slide file with the first reader that can.

    Parameters
    ----------
    path
        The file.
    series
        Number of the image in a file of several, as Bio-Formats counts. Later ones than the first are read from
        OME-TIFF only, in which they are numbered.

    Raises
    ------
    SlideNotFoundError
        There is no such file.
    SlideFormatError
        Nothing that is installed can read it, it is damaged, or it has no such series.
    """
    if not path.is_file():
        raise SlideNotFoundError(
            "there is no such slide file", where=path, remedy="Put it back, or correct its path in QuPath."
        )
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise SlideFormatError(f"the slide file cannot be read ({error.strerror})", where=path) from error
    if not magic:
        raise SlideFormatError("the slide file is empty", where=path, remedy=COPY_AGAIN)
    # Pictures by suffix, not by content: a MIRAX slide's .mrxs file is a JPEG thumbnail.
    if series:
        opened = _open_ome_series(path, series)
    elif magic in _TIFF_MAGIC:
        opened = _open_tiff(path)
    elif path.suffix.lower() in _PICTURE_SUFFIXES:
        opened = _open_picture(path)
    else:
        opened = _open_openslide(path)
    full = opened.levels[0].size
    if not all(0 < side <= whole for level in opened.levels for side, whole in zip(level.size, full, strict=True)):
        opened.close()
        raise SlideFormatError(f"{DAMAGED}: the sizes of its levels make no sense", where=path, remedy=COPY_AGAIN)
    return opened


def _open_tiff(path: Path) -> OpenedFile:
    import tiffslide

    try:
        slide = tiffslide.TiffSlide(path)
    except READ_ERRORS as error:
        return _open_openslide(path, because=error)
    try:
        properties = slide.properties
        series = slide.ts_tifffile.series[properties["tiffslide.series-index"]]
        pages = [_only_page(level) for level in series.levels]
        sizes = slide.level_dimensions
        _refuse_truncated(path, series.levels)
        mpp = _both(properties.get("tiffslide.mpp-x"), properties.get("tiffslide.mpp-y"))
        if all(
            page is not None and (page.imagewidth, page.imagelength) == size and SegmentedLevel.can_read(page)
            for page, size in zip(pages, sizes, strict=True)
        ):
            file, cache = SharedFile(path), SegmentCache()
            levels = tuple(SegmentedLevel(page, number, file, cache) for number, page in enumerate(pages))
            return OpenedFile("tiff", levels, mpp, partial(_close_all, file, slide))
        _refuse_other_pixels(path, series)
    except SlideFormatError:
        slide.close()
        raise
    except READ_ERRORS as error:
        slide.close()
        return _open_openslide(path, because=error)
    lock = Lock()
    library_levels = tuple(
        LibraryLevel(size, _tiffslide_reader(slide, number), lock, path) for number, size in enumerate(sizes)
    )
    return OpenedFile("tiffslide", library_levels, mpp, slide.close)


def _open_ome_series(path: Path, number: int) -> OpenedFile:
    """One of the images of an OME-TIFF."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series if tiff.is_ome else []
            if not 0 <= number < len(series):
                raise SlideFormatError(
                    f"series {number} of the file cannot be told from its other images",
                    where=path,
                    remedy="Later series than the first are read from OME-TIFF only.",
                )
            pages = [_only_page(level) for level in series[number].levels]
            _refuse_truncated(path, series[number].levels)
            if not all(page is not None and SegmentedLevel.can_read(page) for page in pages):
                _refuse_other_pixels(path, series[number])
                raise SlideFormatError(f"series {number} is encoded in a way that cannot be read", where=path)
    except READ_ERRORS as error:
        raise SlideFormatError(f"{DAMAGED} ({error})", where=path, remedy=COPY_AGAIN) from error
    file, cache = SharedFile(path), SegmentCache()
    levels = tuple(SegmentedLevel(page, index, file, cache) for index, page in enumerate(pages))
    return OpenedFile("tiff", levels, None, file.close)


def _close_all(*files: Any) -> None:
    for file in files:
        file.close()


def _only_page(level: Any) -> Any | None:
    """The one page that a level consists of; None where it is put together from several."""
    return level.pages[0].aspage() if len(level.pages) == 1 and level.pages[0] is not None else None


def _refuse_truncated(path: Path, levels: Any) -> None:
    """Find a half-copied file now rather than in the middle of a run."""
    size = path.stat().st_size
    for page in (page for level in levels for page in level.pages if page is not None):
        offsets, counts = np.asarray(page.dataoffsets, np.int64), np.asarray(page.databytecounts, np.int64)
        if not math.prod(page.chunked) <= len(offsets) == len(counts):
            raise SlideFormatError(f"{DAMAGED}: its table of tiles is too short", where=path, remedy=COPY_AGAIN)
        if len(counts) and int((offsets + counts).max()) > size:
            raise SlideFormatError(f"{DAMAGED}: it ends before its last tile", where=path, remedy=COPY_AGAIN)


def _refuse_other_pixels(path: Path, series: Any) -> None:
    if series.dtype != np.uint8 or series.axes not in ("YX", "YXS", "CYX"):
        raise SlideFormatError(
            f"the pixels are not 8-bit RGB ({series.dtype}, axes {series.axes})",
            where=path,
            remedy="her2qp scores brightfield H&E slides.",
        )


def _tiffslide_reader(slide: Any, level: int) -> Callable[[int, int, int, int], NDArray[np.uint8]]:
    downsample = slide.level_downsamples[level]

    def read(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        # tiffslide takes whole level-0 pixels and rounds down after dividing: the next one up comes back exactly.
        location = tuple(int(np.ceil(side * downsample + 1e-6)) if level else side for side in (x0, y0))
        return np.asarray(slide.read_region(location, level, (x1 - x0, y1 - y0), as_array=True))

    return read


def _open_picture(path: Path) -> OpenedFile:
    """A plain picture, held in memory whole; Pillow's limit on the number of pixels applies."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # The limit at which Pillow only warns is the one that is kept to here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path)
        with opened as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise SlideFormatError(
                    f"the picture is too large to be held in memory ({image.width} x {image.height} pixels)",
                    where=path,
                    remedy="Convert it to a pyramidal TIFF.",
                )
            dpi = image.info.get("dpi")
            pixels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    except (*READ_ERRORS, Image.DecompressionBombError) as error:
        raise SlideFormatError(f"{DAMAGED} ({error})", where=path, remedy=COPY_AGAIN) from error
    mpp = None if not dpi or not all(dpi) else (_MICRONS_PER_INCH / float(dpi[0]), _MICRONS_PER_INCH / float(dpi[1]))
    return OpenedFile("pillow", (ArrayLevel(as_rgb(pixels)),), mpp, lambda: None)


def _open_openslide(path: Path, because: Exception | None = None) -> OpenedFile:
    try:
        import openslide
    except ImportError as error:
        reason = f" ({because})" if because is not None else ""
        raise SlideFormatError(
            f"the slide's format is unknown, or the file is damaged{reason}", where=path, remedy=_NEEDS_OPENSLIDE
        ) from (because or error)
    try:
        slide = openslide.OpenSlide(path)
    except (openslide.OpenSlideError, OSError) as error:
        raise SlideFormatError(
            f"no slide reader knows the format, or the file is damaged ({error})", where=path
        ) from error
    lock = Lock()
    levels = tuple(
        LibraryLevel(size, _openslide_reader(slide, number), lock, path)
        for number, size in enumerate(slide.level_dimensions)
    )
    properties = slide.properties
    mpp = _both(properties.get("openslide.mpp-x"), properties.get("openslide.mpp-y"))
    return OpenedFile("openslide", levels, mpp, slide.close)


def _openslide_reader(slide: Any, level: int) -> Callable[[int, int, int, int], NDArray[np.uint8]]:
    downsample = slide.level_downsamples[level]

    def read(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        location = (round(x0 * downsample), round(y0 * downsample))
        return np.asarray(slide.read_region(location, level, (x1 - x0, y1 - y0)))

    return read


def _both(width: object, height: object) -> tuple[float, float] | None:
    return None if width is None or height is None else (float(str(width)), float(str(height)))
