"""The fast way into a TIFF: encoded tiles (or strips) read by their offset and decoded once, in several threads.

Slide libraries go through a general array layer for every region and decode a JPEG tile anew for each region that
touches it. Here a level is its table of offsets; decoding is libjpeg-turbo's or OpenJPEG's (imagecodecs), which let
other threads run, and decoded tiles stay in a cache that all levels of a slide share.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import SlideFormatError
from her2qp.slides.damage import COPY_AGAIN, DAMAGED, READ_ERRORS
from her2qp.slides.levels import as_rgb

MAX_SEGMENT_BYTES = 1 << 28
"""Decoded size up to which a tile or strip is believed."""

MAX_CACHE_BYTES = 1 << 28
"""Decoded tiles that a slide keeps: more than a row of tiles across the widest slides."""

# Photometric interpretations that tifffile decodes to grey or RGB; YCbCr only from JPEG, which converts it.
_GREY, _RGB, _YCBCR = 1, 2, 6
_JPEG_COMPRESSIONS = {6, 7, 33003, 33004, 33005, 33007, 34712, 34892}


class SegmentCache:
    """Decoded segments by key, least recently used out first; a segment wanted by two threads is decoded once."""

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[tuple[int, int], Future[NDArray[np.uint8]]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[int, int], decode: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """The segment of that key, from the cache or decoded now; raises what `decode` raises."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            else:
                mine: Future[NDArray[np.uint8]] = Future()
                self._entries[key] = mine
        if entry is not None:
            return entry.result()
        try:
            segment = decode()
        except BaseException as error:
            with self._lock:
                del self._entries[key]
            mine.set_exception(error)
            raise
        mine.set_result(segment)
        self._make_room(segment.nbytes)
        return segment

    def _make_room(self, new_bytes: int) -> None:
        with self._lock:
            self._bytes += new_bytes
            while self._bytes > self._max_bytes and self._entries:
                oldest = next(iter(self._entries))
                if not self._entries[oldest].done():
                    break  # still being decoded, and the next call makes the room
                self._bytes -= self._entries.pop(oldest).result().nbytes


class SharedFile:
    """A file that several threads read from."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._lock = Lock()

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`."""
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class SegmentedLevel:
    """A level of a TIFF whose pixels lie in tiles or strips of 8-bit interleaved samples.

    Parameters
    ----------
    page
        The level's ``tifffile.TiffPage``.
    number
        Number of the level, its part of the cache's keys.
    file, cache
        Shared by all levels of the slide.
    """

    page: Any
    number: int
    file: SharedFile
    cache: SegmentCache

    @staticmethod
    def can_read(page: Any) -> bool:
        """Whether a page is of a kind that this class reads."""
        photometric = int(page.photometric)
        decodes_to_rgb = photometric in (_GREY, _RGB) or (
            photometric == _YCBCR and int(page.compression) in _JPEG_COMPRESSIONS
        )
        return (
            page.dtype == np.uint8
            and page.bitspersample == 8
            and page.imagedepth == 1
            and page.planarconfig == 1
            and page.samplesperpixel in (1, 3, 4)
            and decodes_to_rgb
            and not page.is_ndpi
            and 0 < _segment_bytes(page) <= MAX_SEGMENT_BYTES
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.page.imagewidth, self.page.imagelength

    def read(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Pixels of a rectangle, shape (y1 - y0, x1 - x0, 3).

        Raises
        ------
        SlideFormatError
            A tile of the file cannot be decoded.
        """
        width, height = _segment_size(self.page)
        per_row = ceil(self.page.imagewidth / width)
        pixels = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        for row in range(y0 // height, (y1 - 1) // height + 1):
            for column in range(x0 // width, (x1 - 1) // width + 1):
                segment = self._segment(row * per_row + column)
                left, top = column * width, row * height
                from_x, to_x = max(x0, left), min(x1, left + width)
                from_y, to_y = max(y0, top), min(y1, top + height)
                pixels[from_y - y0 : to_y - y0, from_x - x0 : to_x - x0] = segment[
                    from_y - top : to_y - top, from_x - left : to_x - left
                ]
        return pixels

    def _segment(self, index: int) -> NDArray[np.uint8]:
        return self.cache.get((self.number, index), lambda: self._decode(index))

    def _decode(self, index: int) -> NDArray[np.uint8]:
        """One tile or strip in full, shape (tile height, tile width, 3); white where the file leaves it out."""
        page = self.page
        width, height = _segment_size(page)
        count = page.databytecounts[index]
        if count == 0:
            return np.full((height, width, 3), 255, np.uint8)
        try:
            data = self.file.read(page.dataoffsets[index], count)
            decoded, _, _ = page.decode(data, index, jpegtables=page.jpegtables, _fullsize=True)
        except READ_ERRORS as error:
            raise SlideFormatError(f"{DAMAGED} (tile {index}: {error})", where=self._path, remedy=COPY_AGAIN) from error
        if decoded is None:
            return np.full((height, width, 3), 255, np.uint8)
        return as_rgb(decoded[0])

    @property
    def _path(self) -> str:
        return str(self.page.parent.filehandle.path)


def _segment_size(page: Any) -> tuple[int, int]:
    """Width and height of a page's tiles; a strip is a tile as wide as the page."""
    if page.is_tiled:
        return page.tilewidth, page.tilelength
    return page.imagewidth, min(page.rowsperstrip, page.imagelength)


def _segment_bytes(page: Any) -> int:
    width, height = _segment_size(page)
    return int(width * height * page.samplesperpixel)
