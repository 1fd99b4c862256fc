"""One image of a batch: what goes wrong with it is reported, and the batch goes on."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from her2qp.errors import Her2qpError
from her2qp.scoring.monitor import Monitor
from her2qp.scoring.result import ImageOutcome, Status

if TYPE_CHECKING:
    from her2qp.qupath.imageentry import ImageEntry


def attempt(
    entry: ImageEntry, work: Callable[[], ImageOutcome], monitor: Monitor, *, remedy: str = "Please report it."
) -> ImageOutcome:
    """Work on an image, and say what became of it whatever happens.

    Parameters
    ----------
    entry
        The image.
    work
        What is done with it.
    monitor
        Is told that work on the image begins and ends.
    remedy
        What to do about a defect of her2qp.
    """
    monitor.image_started(entry.name)
    try:
        outcome = work()
    except Her2qpError as error:
        outcome = ImageOutcome(entry.id, entry.name, Status.FAILED, str(error))
    except Exception as error:  # noqa: BLE001 - a defect met in one image must not cost the night's other images
        reason = f"unexpected {type(error).__name__}: {error}. {remedy}"
        details = {"traceback": traceback.format_exc()}
        outcome = ImageOutcome(entry.id, entry.name, Status.FAILED, reason, details=details)
    monitor.image_finished(outcome)
    return outcome
