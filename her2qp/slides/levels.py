"""Levels of a pyramid: where pixels come from, one class a kind of source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class ScaledLevel:
    """A level with its place in a pyramid.

    Parameters
    ----------
    level
        Its pixels.
    across, down
        How much smaller than level 0 it is.
    within
        The part of it that is shown: x0, y0, x1, y1 in its own pixels.
    """

    level: Level
    across: float
    down: float
    within: tuple[int, int, int, int]

    @classmethod
    def of(cls, level: Level, full: tuple[int, int], shown: tuple[int, int, int, int]) -> ScaledLevel:
        """A level of a slide whose level 0 is of the size `full`, of which the rectangle `shown` is shown."""
        across, down = _downsamples(full, level.size)
        x0, y0, x1, y1 = shown
        right = level.size[0] if x1 == full[0] else round(x1 / across)
        bottom = level.size[1] if y1 == full[1] else round(y1 / down)
        return cls(level, across, down, (round(x0 / across), round(y0 / down), right, bottom))

    def read(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        """Pixels of any rectangle, white outside of what is shown, shape (y1 - y0, x1 - x0, 3)."""
        shown = self.within
        inner = left, top, right, bottom = max(x0, shown[0]), max(y0, shown[1]), min(x1, shown[2]), min(y1, shown[3])
        if inner == (x0, y0, x1, y1):
            return self.level.read(x0, y0, x1, y1)
        pixels = np.full((y1 - y0, x1 - x0, 3), 255, np.uint8)
        if left < right and top < bottom:
            pixels[top - y0 : bottom - y0, left - x0 : right - x0] = self.level.read(*inner)
        return pixels


def _downsamples(full: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """Downsample of a level across and down.

    Scanners reduce by whole numbers and crop what is left over: where that explains the size, the whole number is
    the truth, and the ratio of the sizes would shift far tiles by up to a pixel.
    """
    across, down = full[0] / size[0], full[1] / size[1]
    whole = round((across + down) / 2)
    if all(side in (length // whole, -(-length // whole)) for side, length in zip(size, full, strict=True)):
        return float(whole), float(whole)
    return across, down


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
