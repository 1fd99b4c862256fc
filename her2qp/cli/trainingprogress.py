"""Progress bars of a training on stderr."""

from __future__ import annotations

from rich.progress import TaskID

from her2qp.cli.bars import Bars
from her2qp.training.checkpoint import Epoch
from her2qp.training.monitor import Monitor


class TrainingProgress(Bars, Monitor):
    """A bar for the slides that are loaded, one for the models, and one for the epochs of each model in training.

    On a stream that is no terminal it prints one line a model instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slides = self.bars.add_task("slides", total=None, visible=False)
        self.models = self.bars.add_task("models", total=None, visible=False)
        self.epochs: dict[str, TaskID] = {}

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
        self.epochs[name] = self.bars.add_task(name, total=epochs)

    def epoch_done(self, name: str, epoch: Epoch) -> None:
        """Move the bar of the model's epochs on and show the losses."""
        validation = "" if epoch.validation_loss is None else f", validation {epoch.validation_loss:.3f}"
        losses = f"{name}: loss {epoch.training_loss:.3f}{validation}"
        self.bars.update(self.epochs[name], advance=1, description=losses)

    def model_finished(self, name: str, summary: str) -> None:
        """Move the bar of the models on and keep one line about the model."""
        self.bars.remove_task(self.epochs.pop(name))
        self.bars.advance(self.models)
        self.console.print(f"{name}: {summary}", markup=False, highlight=False)
