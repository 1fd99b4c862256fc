"""A block under work: two planes of stain density on which areas are filled and sprites are stamped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from shapely import Geometry, Polygon

from her2qp.slides.artificial.cells import Stamps
from her2qp.slides.artificial.sprites import Sprite
from her2qp.slides.artificial.textures import Texture

Plane = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class PolygonIndex:
    """Polygons to be found by rectangle."""

    def __init__(self, geometries: Iterable[Geometry]) -> None:
        self._polygons = shapely.get_parts(list(geometries))
        self._tree = shapely.STRtree(self._polygons)

    def near(self, bounds: tuple[int, int, int, int]) -> list[Polygon]:
        """Polygons that touch the rectangle x0, y0, x1, y1, in their original order."""
        rows = self._tree.query(shapely.box(*bounds), predicate="intersects")
        return list(self._polygons[np.sort(rows)])


class Canvas:
    """Planes of stain density over a rectangle of the slide.

    Parameters
    ----------
    x, y
        Slide pixel of the upper left corner; may lie outside the slide.
    width, height
        In pixels.

    Attributes
    ----------
    hematoxylin, eosin
        Shape (height, width), uint8, zero at first: empty glass.
    """

    def __init__(self, x: int, y: int, width: int, height: int) -> None:
        self.bounds = x, y, x + width, y + height
        self.hematoxylin: Plane = np.zeros((height, width), np.uint8)
        self.eosin: Plane = np.zeros((height, width), np.uint8)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.eosin.shape[0], self.eosin.shape[1]

    def crop(self, texture: Texture) -> Plane:
        """The part of a texture that lies under the canvas."""
        height, width = self.shape
        return texture.crop(self.bounds[0], self.bounds[1], width, height)

    def mask(self, index: PolygonIndex) -> Mask | None:
        """Pixels inside any of the polygons, holes left out, shape (height, width); None where there are none."""
        polygons = index.near(self.bounds)
        if not polygons:
            return None
        image = Image.new("L", self.shape[::-1])
        draw = ImageDraw.Draw(image)
        origin = np.array(self.bounds[:2]) + 0.5
        for polygon in polygons:
            for ring, value in [(polygon.exterior, 1), *((hole, 0) for hole in polygon.interiors)]:
                draw.polygon((shapely.get_coordinates(ring) - origin).ravel().tolist(), fill=value)
        mask = np.asarray(image).view(np.bool_)
        return mask if mask.any() else None

    def fill(self, mask: Mask, hematoxylin: int | Plane, eosin: int | Plane) -> None:
        """Set both densities inside a mask."""
        np.copyto(self.hematoxylin, np.asarray(hematoxylin, np.uint8), where=mask)
        np.copyto(self.eosin, np.asarray(eosin, np.uint8), where=mask)

    def patches(self, stamps: Stamps) -> Iterator[tuple[tuple[slice, slice], Sprite]]:
        """Where each sprite meets the canvas, and the part of the sprite that does."""
        x0, y0, x1, y1 = self.bounds
        height, width = self.shape
        for row in stamps.near(x0, y0, x1, y1):
            sprite = stamps.sprites[stamps.index[row]]
            half = len(sprite) / 2
            left, top = round(stamps.places[row, 0] - half) - x0, round(stamps.places[row, 1] - half) - y0
            right, bottom = min(left + len(sprite), width), min(top + len(sprite), height)
            if right <= 0 or bottom <= 0 or left >= width or top >= height:
                continue
            cut_x, cut_y = max(left, 0), max(top, 0)
            place = slice(cut_y, bottom), slice(cut_x, right)
            yield place, sprite[cut_y - top : bottom - top, cut_x - left : right - left]
