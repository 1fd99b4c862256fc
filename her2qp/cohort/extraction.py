"""Fill the feature store with the tumour regions of projects, so that training and scoring read no pixel.

What the store knows is not computed again, so a run that was killed goes on where it stopped. A project is only read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from her2qp.errors import FeatureStoreError, ImageNotFoundError
from her2qp.features import DEFAULT_EXTRACTOR, Extractor, FeatureStore, extract_features, load_extractor
from her2qp.qupath import open_project
from her2qp.qupath.imageentry import ImageEntry
from her2qp.scoring.attempt import attempt
from her2qp.scoring.image import plan_tiles
from her2qp.scoring.monitor import Monitor
from her2qp.scoring.result import ImageOutcome, Status
from her2qp.scoring.run import choose_images, require_classes
from her2qp.scoring.settings import TileSettings


@dataclass(frozen=True, slots=True)
class FeatureRun:
    """What became of the images.

    Parameters
    ----------
    extractor
        Id of the extractor.
    store
        Folder of the feature store.
    outcomes
        One for each chosen image, with its project.
    """

    extractor: str
    store: Path
    outcomes: Sequence[tuple[Path, ImageOutcome]]

    @property
    def exit_code(self) -> int:
        """0: all done; 1: an image failed; 2: there was no tile to compute features of."""
        if any(outcome.status is Status.FAILED for _, outcome in self.outcomes):
            return 1
        return 0 if any(outcome.status is Status.EXTRACTED for _, outcome in self.outcomes) else 2

    def to_json(self) -> dict[str, Any]:
        """Return the ``features --json`` document."""
        return {
            "extractor": self.extractor,
            "store": str(self.store),
            "images": [
                {
                    "project": str(project),
                    "id": outcome.id,
                    "name": outcome.name,
                    "status": str(outcome.status),
                    "reason": outcome.reason,
                    "tiles": outcome.planned,
                    "computed": outcome.added,
                    "notes": list(outcome.notes),
                }
                for project, outcome in self.outcomes
            ],
        }


def extract_projects(projects: Sequence[Path], settings: TileSettings, monitor: Monitor | None = None) -> FeatureRun:
    """Compute the features of the chosen images that the store does not know.

    Parameters
    ----------
    projects
        ``.qpproj`` files or their folders.
    settings
        Which tiles, and by which extractor.
    monitor
        Is told what happens.

    Raises
    ------
    ProjectError
        A project cannot be opened.
    ImageNotFoundError, RegionError
        Nothing is there that was asked for.
    ExtractorError
        The extractor cannot be used.
    """
    listener = monitor or Monitor()
    with ExitStack() as opened:
        chosen = _choose(projects, settings, opened)
        require_classes([entry for _, entry in chosen], settings, where=", ".join(map(str, projects)))
        extractor = load_extractor(settings.extractor or DEFAULT_EXTRACTOR, runtime=settings.runtime)
        store = FeatureStore(settings.cache() / "features")
        listener.run_started(len(chosen))
        outcomes = [
            (path, attempt(entry, partial(_extract, entry, settings, extractor, store, listener), listener))
            for path, entry in chosen
        ]
    return FeatureRun(extractor.info.id, store.folder, outcomes)


def _choose(projects: Sequence[Path], settings: TileSettings, opened: ExitStack) -> list[tuple[Path, ImageEntry]]:
    """Images of all projects; one project may well have none of that name."""
    chosen, problem = [], None
    for path in dict.fromkeys(projects):
        project = opened.enter_context(open_project(path, "r", "native"))
        try:
            chosen += [(project.path, entry) for entry in choose_images(project, settings.images)]
        except ImageNotFoundError as error:
            problem = error
    if not chosen and problem is not None:
        raise problem
    return chosen


def _extract(
    entry: ImageEntry, settings: TileSettings, extractor: Extractor, store: FeatureStore, monitor: Monitor
) -> ImageOutcome:
    info = extractor.info
    with plan_tiles(entry, settings, tile_px=info.tile_px, mpp=info.mpp) as plan:
        n = len(plan.tiles)
        if not n:
            return ImageOutcome(entry.id, entry.name, Status.SKIPPED, plan.reason, notes=plan.notes)
        monitor.tiles_found(n)
        done = extract_features(plan.slide, plan.tiles, extractor, store=store, progress=monitor.tiles_done)
        if not done.is_kept:
            raise FeatureStoreError(
                "the features cannot be kept", where=store.folder, remedy="Is the disk full, or the folder read-only?"
            )
        return ImageOutcome(entry.id, entry.name, Status.EXTRACTED, notes=plan.notes, planned=n, added=done.computed)
