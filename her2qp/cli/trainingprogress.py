"""Progress bars of a training on stderr."""

from __future__ import annotations

from her2qp.cli.bars import Bars
from her2qp.training.checkpoint import Epoch
from her2qp.training.monitor import Monitor


class TrainingProgress(Bars, Monitor):
    """A bar for the slides that are loaded, one for the models, and one for the epochs of the model at hand.

    On a stream that is no terminal it prints one line a model instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slides = self.bars.add_task("slides", total=None, visible=False)
        self.models = self.bars.add_task("models", total=None, visible=False)
        self.epochs = self.bars.add_task("epochs", total=None, visible=False)

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
