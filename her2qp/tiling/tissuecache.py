"""Tissue masks of earlier runs, so that a second run reads no pixel."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path
from uuid import uuid4

import numpy as np

from her2qp.slides import Slide
from her2qp.tiling.tissue import CLOSING_UM, GLASS_SATURATION, MAX_OVERVIEW_PX, MAX_THRESHOLD, OVERVIEW_MPP, TissueMask

_METHOD = (OVERVIEW_MPP, MAX_OVERVIEW_PX, GLASS_SATURATION, MAX_THRESHOLD, CLOSING_UM)


def tissue_of(slide: Slide, slide_mpp: float, folder: Path) -> TissueMask:
    """Return the tissue of a slide, from an earlier run where one left it.

    A cached mask that is damaged, or a folder that cannot be written, costs time and nothing else.

    Parameters
    ----------
    slide
        The slide.
    slide_mpp
        Its pixel size at level 0 in µm.
    folder
        Where masks are kept; made when the first one is.

    Raises
    ------
    SlideFormatError
        A part of the file is damaged.
    """
    parameters = np.array([*slide.size, slide_mpp, *_METHOD])
    file = folder / f"{slide.identity()[:32]}.npz"
    with (
        contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile),
        np.load(file, allow_pickle=False) as kept,
    ):
        if np.array_equal(kept["parameters"], parameters):
            shape = kept["shape"]
            mask = np.unpackbits(kept["bits"], count=int(np.prod(shape))).reshape(shape).astype(bool)
            return TissueMask(mask, slide.size)
    tissue = TissueMask.from_slide(slide, slide_mpp)
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.stem}.{uuid4().hex}.npz")
        np.savez(beside, parameters=parameters, shape=np.array(tissue.mask.shape), bits=np.packbits(tissue.mask))
        beside.replace(file)
    return tissue
