"""Pictures for the report: regions and attention over the slide's overview, and single tiles."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from her2qp.slides.slide import Slide

_STOPS = np.array(
    [
        [13, 8, 135],
        [84, 2, 163],
        [139, 10, 165],
        [185, 50, 137],
        [219, 92, 104],
        [244, 136, 73],
        [254, 188, 43],
        [240, 249, 33],
    ],
    np.float64,
)
"""Eight equidistant colours from dark blue through red to yellow, the lightness rising evenly."""

REGION_COLOUR = (0, 130, 60)


def attention_colours(attention: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour of each attention percentile.

    Parameters
    ----------
    attention
        Percentile ranks, 0 to 1, shape (n,).

    Returns
    -------
    ndarray
        RGB, shape (n, 3), uint8.
    """
    place = np.clip(np.asarray(attention, np.float64), 0, 1) * (len(_STOPS) - 1)
    channels = [np.interp(place, np.arange(len(_STOPS)), _STOPS[:, c]) for c in range(3)]
    return np.rint(np.column_stack(channels)).astype(np.uint8)


def regions_picture(overview: NDArray[np.uint8], downsample: float, regions: Iterable[shapely.Geometry]) -> Image.Image:
    """Draw the outlines of regions over an overview.

    Parameters
    ----------
    overview
        RGB, shape (h, w, 3), uint8.
    downsample
        Pixels at full resolution for each pixel of the overview.
    regions
        In pixels at full resolution.
    """
    picture = Image.fromarray(overview)
    draw = ImageDraw.Draw(picture)
    width = max(3, round(max(picture.size) / 300))
    for region in regions:
        for polygon in shapely.get_parts(region):
            for ring in [polygon.exterior, *polygon.interiors]:
                draw.line([tuple(p) for p in shapely.get_coordinates(ring) / downsample], REGION_COLOUR, width, "curve")
    return picture


def attention_picture(
    overview: NDArray[np.uint8], downsample: float, bounds: NDArray[np.float64], attention: NDArray[np.floating]
) -> Image.Image:
    """Lay the attention of tiles over a grey overview, half transparent.

    Parameters
    ----------
    overview, downsample
        As in :func:`regions_picture`.
    bounds
        Tiles in pixels at full resolution, shape (n, 4).
    attention
        Percentile ranks, shape (n,).
    """
    grey = np.repeat(overview.mean(axis=2, keepdims=True), 3, axis=2)
    picture = Image.fromarray((255 - (255 - grey) * 0.7).astype(np.uint8))
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    boxes = np.rint(bounds / downsample).astype(int)
    for box, colour in zip(boxes.tolist(), attention_colours(attention).tolist(), strict=True):
        draw.rectangle((box[0], box[1], max(box[2] - 1, box[0]), max(box[3] - 1, box[1])), (*colour, 190))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def tile_pictures(slide: Slide, bounds: NDArray[np.float64], rows: Sequence[int], px: int) -> list[Image.Image]:
    """Read single tiles of a slide, `px` pixels a side."""
    return [Image.fromarray(tile) for tile in slide.read_tiles(bounds[list(rows)], px)] if len(rows) else []


def data_uri(picture: Image.Image, quality: int = 82) -> str:
    """Return a picture as a JPEG data URI, to be part of a page."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
