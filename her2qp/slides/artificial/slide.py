"""Make an artificial H&E slide whose HER2 level is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from shapely import MultiPolygon

from her2qp.slides.artificial.cells import populate
from her2qp.slides.artificial.layout import random_layout
from her2qp.slides.artificial.painter import MOTTLE_STEP, Ground, Painter
from her2qp.slides.artificial.phenotype import CASE_SPREAD
from her2qp.slides.artificial.stains import Stains
from her2qp.slides.artificial.svs import write_svs
from her2qp.slides.artificial.textures import Fibres, fibres, grain, smooth_noise

HER2_LEVELS = (0, 1, 2, 3)
SMALLEST_SIDE_UM = 400.0
NECROSIS_SHARE = (0.05, 0.15, 0.35, 0.6)
"""Probability of a necrotic centre at each HER2 level."""


@dataclass(frozen=True, slots=True)
class ArtificialSlide:
    """A slide that was made, with its ground truth. All outlines are in pixels of level 0.

    Parameters
    ----------
    path
        The SVS file.
    size
        Width and height in pixels.
    mpp
        Pixel size in µm.
    her2_level, severity
        The level asked for (0 to 3), and where this case lies around it.
    tumour
        Outline around the tumour nests; the thin septa between them and any necrosis lie inside.
    nests
        The living tumour nests themselves.
    stroma, fat, necrosis
        The other tissues, each possibly empty.
    """

    path: Path
    size: tuple[int, int]
    mpp: float
    her2_level: int
    severity: float
    tumour: MultiPolygon
    nests: MultiPolygon
    stroma: MultiPolygon
    fat: MultiPolygon
    necrosis: MultiPolygon


def make_artificial_slide(
    path: str | Path, *, her2_level: int, size: tuple[int, int] = (12288, 12288), mpp: float = 0.25, seed: int
) -> ArtificialSlide:
    """Write an artificial H&E slide as a pyramidal Aperio-style SVS.

    Nuclear size, density and pleomorphism of the tumour nests follow the HER2 level, with overlap between
    neighbouring levels (`her2qp.slides.artificial.phenotype`). It is a drawing: nothing learnt from it holds for
    tissue. The image description says that it is artificial.

    Parameters
    ----------
    path
        File to write, overwritten if it exists; its suffix should be ``.svs``.
    her2_level
        0, 1, 2 or 3.
    size
        Width and height in pixels.
    mpp
        Pixel size in µm.
    seed
        Same seed, level, size and pixel size: same pixels.

    Raises
    ------
    ValueError
        An unknown level, or a slide too small to hold tissue.
    OSError
        The file cannot be written.
    """
    path = Path(path)
    if her2_level not in HER2_LEVELS:
        raise ValueError(f"her2_level must be one of {HER2_LEVELS}, not {her2_level}")
    width, height = size
    if min(size) * mpp < SMALLEST_SIDE_UM:
        raise ValueError(f"the shorter side must be at least {SMALLEST_SIDE_UM:g} µm, not {min(size) * mpp:g}")

    drawing, texture, cell, stain = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    severity = her2_level + cell.normal(0.0, CASE_SPREAD)
    layout = random_layout(drawing, width * mpp, height * mpp, necrosis_share=NECROSIS_SHARE[her2_level])
    layout = layout.scaled(1.0 / mpp)
    ground, collagen = _ground(texture, size, mpp)
    cells = populate(cell, layout, collagen, severity, 1.0 / mpp)
    painter = Painter(layout, cells, ground, Stains.random(stain), blur=0.2 / mpp)
    write_svs(path, size, mpp, painter.paint, note=f"artificial H&E drawing, HER2 level {her2_level}, seed {seed}")
    return ArtificialSlide(
        path=path,
        size=size,
        mpp=mpp,
        her2_level=her2_level,
        severity=severity,
        tumour=layout.tumour,
        nests=layout.living_nests,
        stroma=layout.stroma,
        fat=layout.fat,
        necrosis=layout.necrosis,
    )


def _ground(rng: np.random.Generator, size: tuple[int, int], mpp: float) -> tuple[Ground, Fibres]:
    """Textures of a slide, and the fibres along which the stroma's nuclei lie."""
    width, height = size
    collagen = fibres(rng, 1.0 / mpp)
    mottle_shape = height // MOTTLE_STEP + 4, width // MOTTLE_STEP + 4
    ground = Ground(
        fibres=collagen.texture,
        grain=grain(rng, 0.35 / mpp, 34.0),
        debris=grain(rng, 0.9 / mpp, 45.0),
        mottle=np.clip(1.0 + 0.12 * smooth_noise(rng, mottle_shape, 150.0 / (mpp * MOTTLE_STEP)), 0.7, 1.3),
    )
    return ground, collagen
