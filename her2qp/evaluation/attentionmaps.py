"""Attention maps of the cases a model was surest of, right and wrong, drawn from tile positions alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from her2qp.evaluation.predictions import Predictions
from her2qp.report.pictures import attention_colours
from her2qp.scoring.result import percentile_rank

_SHOWN_OF_EACH = 4
_LARGEST_PX = 400


@dataclass(frozen=True, slots=True, eq=False)
class AttentionMap:
    """Attention of the tiles of one slide.

    Parameters
    ----------
    slide, patient
        Names, as in the predictions.
    positions_um
        Tile centres x, y in µm, shape (n, 2).
    tile_um
        Side of a tile in µm.
    attention
        Of each tile, shape (n,).
    """

    slide: str
    patient: str
    positions_um: NDArray[np.float64]
    tile_um: float
    attention: NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Shown:
    """A map on the page: PNG as a data URI, what the case is and what the model says."""

    uri: str
    slide: str
    label: str
    predicted: str
    probability: float

    @property
    def right(self) -> bool:
        """Whether the model is right."""
        return self.label == self.predicted


def choose_maps(predictions: Predictions, maps: Sequence[AttentionMap]) -> list[Shown]:
    """Draw the maps of the cases that the model was surest of: four right ones, then four wrong ones.

    Parameters
    ----------
    predictions
        By slide or by patient.
    maps
        Those of cases that are not in the predictions are passed over.
    """
    row_of = {slide: row for row, slide in enumerate(predictions.slides)}
    found = []
    for each in maps:
        row = row_of.get(each.slide, row_of.get(each.patient))
        if row is not None:
            found.append((row, each))
    found.sort(key=lambda pair: -predictions.probabilities[pair[0]].max())
    right = predictions.predicted == predictions.labels
    chosen = [pair for pair in found if right[pair[0]]][:_SHOWN_OF_EACH]
    chosen += [pair for pair in found if not right[pair[0]]][:_SHOWN_OF_EACH]
    return [
        Shown(
            _png(each),
            each.slide,
            predictions.classes[predictions.labels[row]],
            predictions.classes[predictions.predicted[row]],
            float(predictions.probabilities[row].max()),
        )
        for row, each in chosen
    ]


def draw_tiles(positions_um: NDArray[np.float64], tile_um: float, colours: NDArray[np.uint8]) -> Image.Image:
    """Draw one pixel a tile on white, enlarged; tiles off the grid of the first one go to the nearest place.

    Parameters
    ----------
    positions_um
        Tile centres x, y, shape (n, 2).
    tile_um
        Side of a tile.
    colours
        RGB of each tile, shape (n, 3).
    """
    column, row = np.rint((positions_um - positions_um.min(axis=0)) / tile_um).astype(np.int64).T
    # Far apart tissue must not make a huge picture.
    shrink = max(1, int(np.ceil((max(column.max(), row.max()) + 1) / _LARGEST_PX)))
    column, row = column // shrink, row // shrink
    pixels = np.full((row.max() + 1, column.max() + 1, 3), 255, np.uint8)
    pixels[row, column] = colours
    picture = Image.fromarray(pixels)
    scale = max(1, _LARGEST_PX // max(picture.size))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def _png(each: AttentionMap) -> str:
    colours = attention_colours(percentile_rank(each.attention))
    buffer = io.BytesIO()
    draw_tiles(each.positions_um, each.tile_um, colours).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
