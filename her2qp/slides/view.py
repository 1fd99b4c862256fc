"""What an image shows of a slide file: the whole of it, or a part, turned, mirrored, its colours in another order.

QuPath wraps an image in others that crop, rotate or flip it, as often as one likes. All of it together is one
rectangle of the file and one of eight orientations, so pixels are read from the file once, where they lie.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import SlideMismatchError


@dataclass(frozen=True, slots=True)
class Crop:
    """Show a rectangle only, in pixels of what is cropped."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Turn:
    """Turn by quarters, clockwise."""

    quarters: int


@dataclass(frozen=True, slots=True)
class Flip:
    """Mirror left and right (`across`), top and bottom (`down`), or both."""

    across: bool
    down: bool


@dataclass(frozen=True, slots=True)
class Reorder:
    """Take the colour channels in another order: ``BGR`` shows blue as red."""

    order: str


Step: TypeAlias = Crop | Turn | Flip | Reorder

_Side = TypeVar("_Side", int, float)


@dataclass(frozen=True, slots=True)
class SlideView:
    """How a project shows a slide file.

    Parameters
    ----------
    steps
        What is done to the image of the file, in this order.
    series
        Number of the image in the file, as Bio-Formats counts.
    file_size
        Width and height of that image as the project has them; None if it does not say.
    """

    steps: tuple[Step, ...] = ()
    series: int = 0
    file_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A view of an image of known size: a rectangle of it, first transposed if at all, then mirrored.

    Parameters
    ----------
    region
        x0, y0, x1, y1 in pixels of the file at full resolution.
    transposed
        Whether rows of the file are columns of the view.
    across, down
        Whether the view is mirrored left and right, top and bottom.
    order
        The view's red, green and blue by their number in the file.
    """

    region: tuple[int, int, int, int]
    transposed: bool = False
    across: bool = False
    down: bool = False
    order: tuple[int, int, int] = (0, 1, 2)

    @classmethod
    def of(cls, size: tuple[int, int], steps: Iterable[Step]) -> Frame:
        """The frame that some steps make of an image of a size.

        Raises
        ------
        SlideMismatchError
            A crop reaches beyond the image.
        """
        frame = cls((0, 0, *size))
        for step in steps:
            frame = frame.then(step)
        return frame

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the view."""
        x0, y0, x1, y1 = self.region
        return self.turned((x1 - x0, y1 - y0))

    def turned(self, pair: tuple[_Side, _Side]) -> tuple[_Side, _Side]:
        """A width and height of the file in the view, or the other way round."""
        return (pair[1], pair[0]) if self.transposed else pair

    def then(self, step: Step) -> Frame:
        """The frame with one more step.

        Raises
        ------
        SlideMismatchError
            A crop reaches beyond the image.
        """
        match step:
            case Crop():
                return self._cropped(step)
            case Turn(quarters):
                frame = self
                for _ in range(quarters % 4):
                    frame = replace(frame, transposed=not frame.transposed, across=not frame.down, down=frame.across)
                return frame
            case Flip(across, down):
                return replace(self, across=self.across != across, down=self.down != down)
            case Reorder(order):
                red, green, blue = (self.order["RGB".index(channel)] for channel in order)
                return replace(self, order=(red, green, blue))

    def _cropped(self, crop: Crop) -> Frame:
        width, height = self.size
        if not (0 <= crop.x < crop.x + crop.width <= width and 0 <= crop.y < crop.y + crop.height <= height):
            raise SlideMismatchError(
                f"the image is cropped to {crop.width} x {crop.height} pixels at {crop.x}, {crop.y}, "
                f"which is not within the {width} x {height} pixels that there are"
            )
        x, y, across, down = map(int, self.in_file(crop.x, crop.y, crop.width, crop.height))
        return replace(self, region=(x, y, x + across, y + down))

    def in_file(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """A rectangle of the view (x, y, width, height) in pixels of the file."""
        whole_width, whole_height = self.size
        x = whole_width - x - width if self.across else x
        y = whole_height - y - height if self.down else y
        if self.transposed:
            x, y, width, height = y, x, height, width
        return x + self.region[0], y + self.region[1], width, height

    def show(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pixels of the file, shape (h, w, 3), as the view shows them."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        if self.across or self.down:
            pixels = pixels[:: -1 if self.down else 1, :: -1 if self.across else 1]
        return pixels if self.order == (0, 1, 2) else pixels[..., self.order]
