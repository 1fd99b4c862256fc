"""What scoring an image gives: arrays for the tiles, a few numbers for each region and for the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from her2qp.scoring.vocabulary import GRADES, GROUPS

if TYPE_CHECKING:
    from her2qp.tiling.regions import Region
    from her2qp.tiling.tiles import Tiles


class Status(StrEnum):
    """Outcome of one image in a run."""

    SCORED = "scored"
    SKIPPED = "skipped"
    FAILED = "failed"


def by_grade(probabilities: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Probabilities of shape (4,) as a mapping from grade to float."""
    return {grade: float(p) for grade, p in zip(GRADES, probabilities, strict=True)}


def percentile_rank(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rank of each value among all, 0 (lowest) to 1 (highest), ties averaged; a single value ranks 1.

    Parameters
    ----------
    values
        Shape (n,).

    Returns
    -------
    ndarray
        Shape (n,), float32. Comparable between the tiles of one image, not between images.
    """
    from scipy.stats import rankdata

    n = len(values)
    if n < 2:
        return np.ones(n, np.float32)
    return np.asarray((rankdata(values) - 1) / (n - 1), np.float32)


@dataclass(frozen=True, slots=True)
class RegionScore:
    """Result of one region: the model applied to the bag of its tiles alone.

    Parameters
    ----------
    region
        The region; its `annotation_id` is None for whole tissue.
    tiles
        Number of tiles.
    probabilities
        Shape (4,), sums to 1.
    attention_share
        Share of the image's attention that lies on this region's tiles, 0 to 1.
    """

    region: Region
    tiles: int
    probabilities: NDArray[np.float32]
    attention_share: float

    def to_json(self) -> dict[str, Any]:
        """Return the region's part of the ``score --json`` document."""
        annotation, path_class = self.region.annotation_id, self.region.path_class
        return {
            "annotation": None if annotation is None else str(annotation),
            "class": None if path_class is None else str(path_class),
            "tiles": self.tiles,
            "probabilities": by_grade(self.probabilities),
            "attention_share": self.attention_share,
        }


@dataclass(frozen=True, slots=True, eq=False)
class ImageScore:
    """Result of one image: the model applied to the bag of all tiles of its regions.

    Parameters
    ----------
    tiles
        Where the n tiles are.
    probabilities
        Of the image, shape (4,), sums to 1.
    attention
        Attention of the image's bag, shape (n,), sums to 1.
    tile_probabilities
        The model applied to the bag that holds one tile alone, shape (n, 4).
    regions
        One score for each region that holds tiles.
    """

    tiles: Tiles
    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    tile_probabilities: NDArray[np.float32]
    regions: Sequence[RegionScore]

    @property
    def predicted(self) -> str:
        """The most probable grade."""
        return GRADES[int(np.argmax(self.probabilities))]

    @property
    def group(self) -> str:
        """Treatment group of the most probable grade."""
        return GROUPS[self.predicted]


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """What became of one image in a run.

    Parameters
    ----------
    id, name
        Of the image entry.
    status, reason
        `reason` says why an image was skipped or failed, in a sentence; empty when scored.
    score
        The result of a scored image.
    notes
        What the user should know about an image all the same: repaired polygons, metadata that was kept.
    planned
        Number of tiles that a dry run would score.
    added, removed
        Number of objects written and of earlier her2qp objects taken out.
    details
        Facts for the run record: pixel size, extractor, hashes.
    """

    id: int
    name: str
    status: Status
    reason: str = ""
    score: ImageScore | None = None
    notes: Sequence[str] = ()
    planned: int = 0
    added: int = 0
    removed: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether the image was scored, or would be after a dry run."""
        return self.status is Status.SCORED or self.planned > 0

    def to_json(self) -> dict[str, Any]:
        """Return the image's part of the ``score --json`` document."""
        score = self.score
        return {
            "id": self.id,
            "name": self.name,
            "status": str(self.status),
            "reason": self.reason,
            "tiles": self.planned if score is None else len(score.tiles),
            "probabilities": None if score is None else by_grade(score.probabilities),
            "predicted": None if score is None else score.predicted,
            "regions": [] if score is None else [region.to_json() for region in score.regions],
            "notes": list(self.notes),
        }
