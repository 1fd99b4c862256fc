"""Which pixel size counts, and whether it can be true."""

from __future__ import annotations

import math

from her2qp.errors import PixelSizeError

MIN_MPP, MAX_MPP = 0.05, 5.0
"""Bounds of a believable pixel size in µm: beyond a 100x objective and below a 2x one. A 72-dpi tag says 353."""

MAX_ANISOTROPY = 0.01
"""Relative difference of pixel width and height up to which pixels count as square."""

_REMEDY = "Give the pixel size in micrometres with --mpp, for example --mpp 0.25."


def resolve_mpp(
    project: tuple[float | None, float | None] | None,
    file: tuple[float, float] | None,
    override: float | None,
    *,
    where: str,
) -> float:
    """Decide the pixel size of a slide.

    The user's word beats the calibration in the QuPath project, which beats what the file says: pathologists correct
    wrong files in QuPath. The first one that is there counts, and an absurd one is an error rather than passed over.

    Parameters
    ----------
    project
        Pixel width and height in the QuPath project in µm; None where not set.
    file
        Pixel width and height in µm as the slide file says; None if it does not say.
    override
        Pixel size in µm that the user gave with ``--mpp``.
    where
        Name of the image, for error messages.

    Returns
    -------
    float
        Pixel size in µm: the geometric mean of width and height.

    Raises
    ------
    PixelSizeError
        It is missing, not square by more than 1 %, or outside 0.05 to 5 µm.
    """
    if override is not None:
        return _checked(override, override, "the pixel size given with --mpp", where)
    if project is not None and any(side is not None for side in project):
        width, height = project
        if width is None or height is None:
            raise PixelSizeError(
                f"the QuPath project calibrates only one side of the pixel: {_text(width)} x {_text(height)} µm",
                where=where,
                remedy=_REMEDY,
            )
        return _checked(width, height, "the pixel size in the QuPath project", where)
    if file is not None:
        return _checked(*file, "the pixel size in the slide file", where)
    raise PixelSizeError("neither the QuPath project nor the slide file has a pixel size", where=where, remedy=_REMEDY)


def _checked(width: float, height: float, source: str, where: str) -> float:
    value = f"{_text(width)} x {_text(height)} µm"
    for side in (width, height):
        if not (math.isfinite(side) and MIN_MPP <= side <= MAX_MPP):
            raise PixelSizeError(
                f"{source} cannot be right: {value} (expected {MIN_MPP:g} to {MAX_MPP:g})", where=where, remedy=_REMEDY
            )
    if abs(width - height) > MAX_ANISOTROPY * min(width, height):
        raise PixelSizeError(f"{source} is not square: {value}", where=where, remedy=_REMEDY)
    return width if width == height else math.sqrt(width * height)


def _text(side: float | None) -> str:
    return "?" if side is None else f"{side:.4g}"
