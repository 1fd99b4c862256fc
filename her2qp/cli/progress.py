"""Progress bars on stderr."""

from __future__ import annotations

from her2qp.cli.bars import Bars
from her2qp.scoring.monitor import Monitor
from her2qp.scoring.result import ImageOutcome, Status

_MARKS = {
    Status.SCORED: "[green]scored[/]",
    Status.EXTRACTED: "[green]extracted[/]",
    Status.SKIPPED: "[yellow]skipped[/]",
    Status.FAILED: "[red]failed[/]",
}


class ProgressMonitor(Bars, Monitor):
    """A bar for the images of a run and one for the tiles of the image at hand.

    On a stream that is no terminal it prints one line an image instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.images = self.bars.add_task("images", total=None)
        self.tiles = self.bars.add_task("tiles", total=None, visible=False)

    def run_started(self, images: int) -> None:
        """Show how many images there are."""
        self.bars.update(self.images, total=images)

    def image_started(self, name: str) -> None:
        """Name the image at hand."""
        self.bars.update(self.images, description=name)

    def tiles_found(self, tiles: int) -> None:
        """Begin the bar of the image's tiles."""
        self.bars.reset(self.tiles, total=tiles, visible=True)

    def tiles_done(self, tiles: int) -> None:
        """Move the bar of the image's tiles on."""
        self.bars.advance(self.tiles, tiles)

    def image_finished(self, outcome: ImageOutcome) -> None:
        """Move the bar of the images on and keep one line about the image."""
        self.bars.update(self.tiles, visible=False)
        self.bars.advance(self.images)
        text = f"{_MARKS[outcome.status]} [bold]{_plain(outcome.name)}[/]"
        self.console.print(text + (f": {_plain(outcome.reason)}" if outcome.reason else ""), highlight=False)
        for note in outcome.notes:
            self.console.print(f"  note: {note}", style="dim", markup=False, highlight=False)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
