"""Progress bars of a training on stderr."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from her2qp.training.checkpoint import Epoch


class TrainingProgress:
    """A bar for the slides that are loaded, one for the models, and one for the epochs of the model at hand.

    On a stream that is no terminal it prints one line a model instead.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.slides = self.bars.add_task("slides", total=None, visible=False)
        self.models = self.bars.add_task("models", total=None, visible=False)
        self.epochs = self.bars.add_task("epochs", total=None, visible=False)

    def __enter__(self) -> TrainingProgress:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def step(self, text: str) -> None:
        """Print what is being done."""
        self.console.print(text, style="dim", markup=False, highlight=False)

    def slides_loading(self, slides: int) -> None:
        """Begin the bar of the slides."""
        self.bars.reset(self.slides, total=slides, visible=True)

    def slides_loaded(self, slides: int) -> None:
        """Move the bar of the slides on, and hide it when all are there."""
        self.bars.advance(self.slides, slides)
        if self.bars.finished:
            self.bars.update(self.slides, visible=False)

    def models_to_train(self, models: int) -> None:
        """Begin the bar of the models."""
        self.bars.update(self.slides, visible=False)
        self.bars.reset(self.models, total=models, visible=True)

    def model_started(self, name: str, epochs: int) -> None:
        """Begin the bar of the model's epochs."""
        self.bars.reset(self.epochs, total=epochs, visible=True, description=name)

    def epoch_done(self, epoch: Epoch) -> None:
        """Move the bar of the epochs on and show the losses."""
        validation = "" if epoch.validation_loss is None else f", validation {epoch.validation_loss:.3f}"
        self.bars.update(self.epochs, advance=1, description=f"loss {epoch.training_loss:.3f}{validation}")

    def model_finished(self, summary: str) -> None:
        """Move the bar of the models on and keep one line about the model."""
        self.bars.update(self.epochs, visible=False)
        self.bars.advance(self.models)
        self.console.print(summary, markup=False, highlight=False)
