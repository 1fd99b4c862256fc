"""Pixel calibration: how large a pixel is, as the project says."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MICROMETRE = "\u00b5m"
"""QuPath's unit of calibrated pixels, with the micro sign; anything else means uncalibrated."""


@dataclass(frozen=True, slots=True)
class PixelCalibration:
    """Size of a pixel at full resolution.

    Parameters
    ----------
    width, height
        In µm; None where the project has no calibration.
    """

    width: float | None = None
    height: float | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether both sides are known."""
        return self.width is not None and self.height is not None

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None) -> PixelCalibration:
        """Read the ``pixelCalibration`` of a server builder's ``metadata``.

        In a project this is what the user set in QuPath, or else what QuPath read from the slide. A pixel size in
        ``px``, or one that is not a positive number, counts as not calibrated.
        """
        calibration = metadata.get("pixelCalibration") if isinstance(metadata, Mapping) else None
        if not isinstance(calibration, Mapping):
            return cls()
        return cls(_micrometres(calibration.get("pixelWidth")), _micrometres(calibration.get("pixelHeight")))


def _micrometres(length: object) -> float | None:
    if not isinstance(length, Mapping) or length.get("unit") != MICROMETRE:
        return None
    value = length.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 < value <= sys.float_info.max else None
