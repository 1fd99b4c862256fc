"""Slides: opening them, their pixel size, and tiles read fast at an exact scale."""

from her2qp.slides.calibration import resolve_mpp
from her2qp.slides.slide import Slide, check_size, open_slide

__all__ = ["Slide", "check_size", "open_slide", "resolve_mpp"]
