"""Paint any block of an artificial slide: two planes of stain density, then colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from her2qp.slides.artificial.canvas import Canvas, Plane, PolygonIndex
from her2qp.slides.artificial.cells import Cells
from her2qp.slides.artificial.layout import Layout
from her2qp.slides.artificial.stains import Stains
from her2qp.slides.artificial.textures import Texture

MARGIN = 8
"""Pixels painted around a block so that the blur has no seam."""

MOTTLE_STEP = 64
"""Level-0 pixels per element of the slide-wide unevenness of the eosin."""

_LEVELS = np.arange(256, dtype=np.float64)


def _curve(*points: tuple[float, float]) -> Plane:
    """Look-up table from texture value to density, straight between the given points."""
    values, densities = zip(*points, strict=True)
    return np.asarray(np.interp(_LEVELS, values, densities), dtype=np.uint8)


STROMA_EOSIN = _curve((0, 2), (30, 8), (62, 46), (128, 76), (190, 98), (255, 130))
STROMA_HEMATOXYLIN = _curve((0, 1), (28, 3), (128, 15), (255, 24))
CYTOPLASM_EOSIN = _curve((0, 14), (110, 26), (175, 40), (215, 58), (255, 66))
CYTOPLASM_HEMATOXYLIN = _curve((0, 6), (110, 12), (175, 14), (215, 22), (255, 26))
NECROSIS_EOSIN = _curve((0, 70), (128, 118), (255, 170))
NECROSIS_HEMATOXYLIN = _curve((0, 8), (150, 22), (255, 60))
FAT_MEMBRANE = 10, 66


@dataclass(frozen=True, slots=True)
class Ground:
    """What lies under the cells.

    Parameters
    ----------
    fibres, grain, debris
        Textures of stroma, cytoplasm and necrosis.
    mottle
        Factor of the eosin over the slide, about 1, float32, one element per `MOTTLE_STEP` pixels with one element of
        border before and two after the slide.
    """

    fibres: Texture
    grain: Texture
    debris: Texture
    mottle: NDArray[np.float32]


class Painter:
    """Paints blocks of one slide. A pixel is the same whichever block it is painted with.

    Parameters
    ----------
    layout
        Outlines in level-0 pixels.
    blur
        Radius of the optics' blur in pixels.
    """

    def __init__(self, layout: Layout, cells: Cells, ground: Ground, stains: Stains, *, blur: float) -> None:
        self._cells = cells
        self._ground = ground
        self._stains = stains
        self._blur = ImageFilter.GaussianBlur(blur)
        self._tissue = PolygonIndex([layout.tissue])
        self._fat = PolygonIndex([layout.fat])
        self._vacuoles = PolygonIndex(layout.vacuoles)
        self._clefts = PolygonIndex(layout.clefts)
        self._nests = PolygonIndex(layout.nests)
        self._necrosis = PolygonIndex([layout.necrosis])

    def paint(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """RGB of the block whose upper left corner is slide pixel (x, y): shape (height, width, 3), uint8."""
        canvas = Canvas(x - MARGIN, y - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN)
        tissue = canvas.mask(self._tissue)
        if tissue is None:
            return np.broadcast_to(self._stains.background, (height, width, 3))
        self._paint_stroma(canvas)
        self._paint_fat(canvas)
        self._paint_nests(canvas)
        self._paint_necrosis(canvas)
        self._paint_nuclei(canvas)
        canvas.fill(~tissue, 0, 0)
        return self._stains.color(self._developed(canvas.hematoxylin), self._developed(canvas.eosin))

    def _developed(self, plane: Plane) -> Plane:
        """The plane as the optics show it, without its margin."""
        return np.asarray(Image.fromarray(plane).filter(self._blur))[MARGIN:-MARGIN, MARGIN:-MARGIN]

    def _paint_stroma(self, canvas: Canvas) -> None:
        """Collagen: pink fibres, pale gaps where the bundles part."""
        fibre = canvas.crop(self._ground.fibres)
        height, width = canvas.shape
        x0, y0, x1, y1 = (edge / MOTTLE_STEP + 1 for edge in canvas.bounds)
        mottle = Image.fromarray(self._ground.mottle).resize(
            (width, height), Image.Resampling.BILINEAR, box=(x0, y0, x1, y1)
        )
        canvas.eosin[:] = STROMA_EOSIN[fibre] * np.asarray(mottle)
        canvas.hematoxylin[:] = STROMA_HEMATOXYLIN[fibre]

    def _paint_fat(self, canvas: Canvas) -> None:
        """Empty vacuoles between thin membranes."""
        fat, vacuoles = canvas.mask(self._fat), canvas.mask(self._vacuoles)
        if fat is not None:
            canvas.fill(fat, *FAT_MEMBRANE)
        if vacuoles is not None:
            canvas.fill(vacuoles, 0, 0)

    def _paint_nests(self, canvas: Canvas) -> None:
        """Cytoplasm of the tumour cells, paler at the borders between cells, and the clefts beside the nests."""
        clefts, nests = canvas.mask(self._clefts), canvas.mask(self._nests)
        if clefts is not None:
            canvas.fill(clefts, 0, 0)
        if nests is None:
            return
        dome = np.zeros(canvas.shape, np.uint8)
        for place, body in canvas.patches(self._cells.bodies):
            np.maximum(dome[place], body, out=dome[place])
        grain = canvas.crop(self._ground.grain) >> 4
        canvas.fill(nests, CYTOPLASM_HEMATOXYLIN[dome] + grain, CYTOPLASM_EOSIN[dome] + (grain << 1))

    def _paint_necrosis(self, canvas: Canvas) -> None:
        necrosis = canvas.mask(self._necrosis)
        if necrosis is not None:
            texture = canvas.crop(self._ground.debris)
            canvas.fill(necrosis, NECROSIS_HEMATOXYLIN[texture], NECROSIS_EOSIN[texture])

    def _paint_nuclei(self, canvas: Canvas) -> None:
        """Nuclei: haematoxylin covers what lies below, and takes the place of half of the eosin."""
        for place, nucleus in canvas.patches(self._cells.nuclei):
            hematoxylin, eosin = canvas.hematoxylin[place], canvas.eosin[place]
            np.maximum(hematoxylin, nucleus, out=hematoxylin)
            np.copyto(eosin, (eosin >> 1) + 16, where=nucleus > 60)
