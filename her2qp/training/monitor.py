"""How a training tells what it is doing. The command line draws progress bars; a script may ignore it."""

from __future__ import annotations

from her2qp.training.checkpoint import Epoch


class Monitor:
    """Listens to a training. What is not overridden is passed over."""

    def step(self, text: str) -> None:
        """Tell what is begun."""

    def slides_loading(self, slides: int) -> None:
        """Tell that so many slides are loaded."""

    def slides_loaded(self, slides: int) -> None:
        """Tell that so many more of them are."""

    def models_to_train(self, models: int) -> None:
        """Tell how many models there will be."""

    def model_started(self, name: str, epochs: int) -> None:
        """Tell that a model is trained for at most so many epochs; others may be in training."""

    def epoch_done(self, name: str, epoch: Epoch) -> None:
        """Tell of an epoch of the model."""

    def model_finished(self, name: str, summary: str) -> None:
        """Tell what became of the model."""
