"""How a long job tells what it is doing. The command line draws progress bars; a script may ignore it."""

from __future__ import annotations

from her2qp.scoring.result import ImageOutcome


class Monitor:
    """Listens to a run. What is not overridden is passed over."""

    def step(self, text: str) -> None:
        """Something is about to be done that is not a run."""

    def run_started(self, images: int) -> None:
        """A run over so many images begins."""

    def image_started(self, name: str) -> None:
        """Work on an image begins."""

    def tiles_found(self, tiles: int) -> None:
        """The image has so many tiles to score."""

    def tiles_done(self, tiles: int) -> None:
        """So many more tiles have their features."""

    def image_finished(self, outcome: ImageOutcome) -> None:
        """Work on the image is over."""
