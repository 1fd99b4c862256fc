"""Levels of a pyramid: where pixels come from, one class a kind of source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import SlideFormatError
from her2qp.slides.damage import COPY_AGAIN, DAMAGED, READ_ERRORS


class Level(Protocol):
    """One level of a pyramid of 8-bit RGB pixels, readable from several threads."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of this level."""

    def read(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Pixels of a rectangle that lies within the level, shape (y1 - y0, x1 - x0, 3)."""


class ArrayLevel:
    """A level that lies in memory."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self._pixels.shape[:2]
        return width, height

    def read(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Pixels of a rectangle, shape (y1 - y0, x1 - x0, 3)."""
        return self._pixels[y0:y1, x0:x1]


class LibraryLevel:
    """A level that a slide library reads, one thread at a time.

    Parameters
    ----------
    size
        Width and height in pixels.
    read
        The library's way to read x0, y0, x1, y1: grey, RGB or with transparency.
    lock
        Shared by all levels of the slide.
    path
        The slide file, for error messages.
    """

    def __init__(
        self, size: tuple[int, int], read: Callable[[int, int, int, int], NDArray[np.uint8]], lock: Lock, path: Path
    ) -> None:
        self._size = size
        self._read = read
        self._lock = lock
        self._path = path

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._size

    def read(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Pixels of a rectangle, shape (y1 - y0, x1 - x0, 3).

        Raises
        ------
        SlideFormatError
            The library cannot read it.
        """
        try:
            with self._lock:
                return as_rgb(self._read(x0, y0, x1, y1))
        except READ_ERRORS as error:
            raise SlideFormatError(f"{DAMAGED} ({error})", where=self._path, remedy=COPY_AGAIN) from error


def read_padded(level: Level, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
    """Pixels of any rectangle, white where it lies outside the level, shape (y1 - y0, x1 - x0, 3)."""
    width, height = level.size
    inner = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if inner == (x0, y0, x1, y1):
        return level.read(x0, y0, x1, y1)
    pixels = np.full((y1 - y0, x1 - x0, 3), 255, np.uint8)
    left, top, right, bottom = inner
    if left < right and top < bottom:
        pixels[top - y0 : bottom - y0, left - x0 : right - x0] = level.read(*inner)
    return pixels


def as_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey, grey with alpha, RGB or RGBA pixels as RGB; what is transparent turns white.

    Parameters
    ----------
    pixels
        Shape (h, w) or (h, w, 1 to 4).
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    channels = pixels.shape[2]
    if channels == 3:
        return pixels
    colour = pixels[..., :3] if channels == 4 else np.repeat(pixels[..., :1], 3, axis=2)
    if channels == 1:
        return colour
    alpha = pixels[..., -1:].astype(np.uint16)
    blended = (colour * alpha + 255 * (255 - alpha) + 127) // 255
    return blended.astype(np.uint8)
