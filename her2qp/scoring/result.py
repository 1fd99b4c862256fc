"""What scoring an image gives: arrays for the tiles, a few numbers for each region and for the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from her2qp.scheme import Scheme

if TYPE_CHECKING:
    from her2qp.qupath.objects import PathObject
    from her2qp.scoring.cellcounts import CellCounts
    from her2qp.tiling.regions import LeftOut, Region
    from her2qp.tiling.tiles import Tiles


class Status(StrEnum):
    """Outcome of one image in a run."""

    SCORED = "scored"
    EXTRACTED = "extracted"
    SKIPPED = "skipped"
    FAILED = "failed"


def spell_cores(counts: Mapping[str, int]) -> str:
    """Number of TMA cores by class as text: ``0: 12, 1+: 8, 2+: 3, 3+: 1``."""
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def percentile_rank(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rank of each value among all, 0 (lowest) to 1 (highest), ties averaged; a single value ranks 1.

    Parameters
    ----------
    values
        Shape (n,).

    Returns
    -------
    ndarray
        Shape (n,), float32. Comparable between the tiles of one bag, not between bags.
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
        The region; it belongs to no object if all tissue was scored.
    tiles
        Number of tiles.
    scheme
        The classes that the model tells apart.
    probabilities
        Of these, shape (c,), sums to 1.
    attention_share
        Share of the image's attention that lies on this region's tiles, 0 to 1; None for a TMA core, whose tiles are a
        bag of their own.
    """

    region: Region
    tiles: int
    scheme: Scheme
    probabilities: NDArray[np.float32]
    attention_share: float | None

    @property
    def by_class(self) -> dict[str, float]:
        """Probabilities by name of the class."""
        return self.scheme.by_class(self.probabilities)

    @property
    def predicted(self) -> str:
        """The most probable class."""
        return self.scheme.most_probable(self.probabilities)

    def to_json(self) -> dict[str, Any]:
        """Return the region's part of the ``score --json`` document."""
        annotation, path_class, core = self.region.annotation_id, self.region.path_class, self.region.core
        return {
            "annotation": None if annotation is None else str(annotation),
            "core": None if core is None else core_json(core),
            "class": None if path_class is None else str(path_class),
            "tiles": self.tiles,
            "probabilities": self.by_class,
            "attention_share": self.attention_share,
        }


def core_json(core: PathObject) -> dict[str, Any]:
    """Return what the ``score --json`` document says of a TMA core."""
    return {"id": str(core.id), "name": core.name, "case_id": core.case_id, "missing": core.is_missing}


def left_out_json(left_out: LeftOut) -> dict[str, Any]:
    """Return the region of the ``score --json`` document for a TMA core that was not scored."""
    return {
        "annotation": None,
        "core": core_json(left_out.core),
        "class": None if left_out.core.path_class is None else str(left_out.core.path_class),
        "tiles": 0,
        "probabilities": None,
        "attention_share": None,
        "reason": left_out.reason,
    }


@dataclass(frozen=True, slots=True, eq=False)
class ImageScore:
    """Result of one image: the model applied to the bag of all tiles of its regions.

    Each core of a tissue microarray is another case, hence a bag of its own, and nothing is said of the image.

    Parameters
    ----------
    tiles
        Where the n tiles are.
    scheme
        The c classes that the model tells apart.
    probabilities
        Of the image, shape (c,), sums to 1; None for a tissue microarray.
    attention
        Attention, shape (n,), sums to 1 over each bag.
    tile_probabilities
        The model applied to the bag that holds one tile alone, shape (n, c).
    regions
        One score for each region that holds tiles.
    cells
        Measurements of the tiles that tell of the cells in them; None if they were not counted.
    """

    tiles: Tiles
    scheme: Scheme
    probabilities: NDArray[np.float32] | None
    attention: NDArray[np.float32]
    tile_probabilities: NDArray[np.float32]
    regions: Sequence[RegionScore]
    cells: CellCounts | None = None

    @property
    def by_class(self) -> dict[str, float] | None:
        """Probabilities of the image by name of the class; None for a tissue microarray."""
        return None if self.probabilities is None else self.scheme.by_class(self.probabilities)

    @property
    def predicted(self) -> str | None:
        """The most probable class; None for a tissue microarray."""
        return None if self.probabilities is None else self.scheme.most_probable(self.probabilities)

    @property
    def group(self) -> str | None:
        """Treatment group of the most probable class; None for a tissue microarray."""
        return None if self.predicted is None else self.scheme.groups[self.predicted]

    @property
    def cores_by_class(self) -> dict[str, int]:
        """Number of TMA cores by their most probable class; empty if the image is one case."""
        predicted = [region.predicted for region in self.regions]
        return {} if self.probabilities is not None else {name: predicted.count(name) for name in self.scheme.classes}

    @property
    def attention_rank(self) -> NDArray[np.float32]:
        """Percentile rank of each tile's attention within its bag: the image, or the TMA core. Shape (n,)."""
        if self.probabilities is not None:
            return percentile_rank(self.attention)
        ranks = np.empty(len(self.tiles), np.float32)
        for number in np.unique(self.tiles.region):
            rows = self.tiles.region == number
            ranks[rows] = percentile_rank(self.attention[rows])
        return ranks


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
    left_out
        TMA cores that were not scored.
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
    left_out: Sequence[LeftOut] = ()
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
        scored = [] if score is None else [region.to_json() for region in score.regions]
        return {
            "id": self.id,
            "name": self.name,
            "status": str(self.status),
            "reason": self.reason,
            "tiles": self.planned if score is None else len(score.tiles),
            "probabilities": None if score is None else score.by_class,
            "predicted": None if score is None else score.predicted,
            "cores": None if score is None else score.cores_by_class or None,
            "regions": [*scored, *map(left_out_json, self.left_out)],
            "notes": list(self.notes),
        }
