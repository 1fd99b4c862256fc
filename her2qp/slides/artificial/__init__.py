"""Artificial H&E slides with known ground truth, for demonstrations, training of the demo model, and tests."""

from her2qp.slides.artificial.slide import ArtificialSlide, make_artificial_slide

__all__ = ["ArtificialSlide", "make_artificial_slide"]
