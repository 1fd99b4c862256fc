"""From one image entry to its score: slide, regions, tiles, features, model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from her2qp.scheme import Scheme
from her2qp.scoring.cellcounts import CellCounts, count_cells
from her2qp.scoring.cores import cores_left_out, notes_on_cores
from her2qp.scoring.result import ImageScore, RegionScore

if TYPE_CHECKING:
    from her2qp.features.extractor import Extractor
    from her2qp.features.store import FeatureStore
    from her2qp.models.bundle import Bundle
    from her2qp.qupath.imageentry import ImageEntry
    from her2qp.qupath.objects import PathObject
    from her2qp.scoring.settings import TileSettings
    from her2qp.slides.slide import Slide
    from her2qp.tiling.regions import LeftOut, Region, RegionSet
    from her2qp.tiling.tiles import Tiles

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class TilePlan:
    """The tiles of an image, before any feature is read.

    Parameters
    ----------
    slide
        The open slide.
    mpp
        Pixel size at full resolution, µm/px.
    regions, tiles
        What to score.
    reason
        Why there are no tiles; empty if there are some.
    notes
        What was repaired or left out.
    left_out
        TMA cores without tiles.
    cells
        What the cells in the tiles add to their measurements; None if there are none, or they are not asked for.
    """

    slide: Slide
    mpp: float
    regions: list[Region]
    tiles: Tiles
    reason: str
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    cells: CellCounts | None = None

    @property
    def noun(self) -> str:
        """What the regions are: regions of one case, or TMA cores."""
        return "cores" if any(region.core for region in self.regions) else "regions"

    def facts(self) -> dict[str, Any]:
        """Return what the run record says of the tiling."""
        return {
            "slide": self.slide.path.name,
            "slide_identity": self.slide.identity(),
            "size": list(self.slide.size),
            "mpp": self.mpp,
            "regions": [None if r.parent_id is None else str(r.parent_id) for r in self.regions],
            "tiles": len(self.tiles),
        }


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model, the classes that it tells apart, and its extractor, ready for many images."""

    bundle: Bundle
    scheme: Scheme
    extractor: Extractor
    store: FeatureStore | None = None

    def extractor_facts(self) -> dict[str, Any]:
        """Return what the run record says of the extractor."""
        return {
            **asdict(self.extractor.info),
            "fingerprint": self.extractor.info.fingerprint,
            "runtime": self.extractor.runtime,
            "runtime_choice": self.extractor.choice,
        }

    def score(self, plan: TilePlan, progress: Progress | None = None) -> ImageScore:
        """Score the tiles of an image.

        Parameters
        ----------
        plan
            With at least one tile.
        progress
            Called with the number of tiles done since the last call.

        Raises
        ------
        SlideFormatError
            The slide cannot be read where a tile lies.
        ModelError
            The features cannot be used.
        """
        from her2qp.features.extract import extract_features

        done = extract_features(plan.slide, plan.tiles, self.extractor, store=self.store, progress=progress)
        features = done.features
        if any(region.core for region in plan.regions):
            return self._score_cores(plan, features)
        prediction = self.bundle.predict(self._bag(plan, features))
        return ImageScore(
            tiles=plan.tiles,
            scheme=self.scheme,
            probabilities=prediction.probabilities,
            attention=prediction.attention,
            tile_probabilities=prediction.tile_probabilities,
            regions=list(self._score_regions(plan, features, prediction.attention)),
            cells=plan.cells,
        )

    def _score_regions(self, plan: TilePlan, features: Any, attention: Any) -> Iterator[RegionScore]:
        for index, region in enumerate(plan.regions):
            rows = np.flatnonzero(plan.tiles.region == index)
            if len(rows):
                yield RegionScore(
                    region=region,
                    tiles=len(rows),
                    scheme=self.scheme,
                    probabilities=self.bundle.probabilities(self._bag(plan, features, rows)),
                    attention_share=float(attention[rows].sum()),
                )

    def _score_cores(self, plan: TilePlan, features: Any) -> ImageScore:
        """Score each TMA core as a case of its own."""
        n, scheme = len(plan.tiles), self.scheme
        attention, tile_probabilities = np.empty(n, np.float32), np.empty((n, len(scheme.classes)), np.float32)
        scores = []
        for index in np.unique(plan.tiles.region):
            rows = np.flatnonzero(plan.tiles.region == index)
            prediction = self.bundle.predict(self._bag(plan, features, rows))
            attention[rows], tile_probabilities[rows] = prediction.attention, prediction.tile_probabilities
            said = prediction.probabilities
            scores.append(RegionScore(plan.regions[index], len(rows), scheme, said, attention_share=None))
        return ImageScore(plan.tiles, scheme, None, attention, tile_probabilities, scores, plan.cells)

    def _bag(self, plan: TilePlan, features: Any, rows: Any = slice(None)) -> Any:
        from her2qp.models.bag import Bag

        bounds = plan.tiles.bounds[rows]
        info = self.extractor.info
        return Bag(
            features[rows],
            positions_um=(bounds[:, :2] + bounds[:, 2:]) / 2 * plan.mpp,
            tile_um=info.tile_px * info.mpp,
            name=plan.slide.path.name,
        )


@contextmanager
def plan_tiles(
    entry: ImageEntry, settings: TileSettings, *, tile_px: int, mpp: float, cells: bool = False
) -> Iterator[TilePlan]:
    """Open an entry's slide and lay the tiles over its regions.

    Parameters
    ----------
    entry
        Of an open project.
    settings
        Of the run.
    tile_px, mpp
        Tile side in pixels and pixel size in µm/px that the model wants.
    cells
        Whether to count the cells in each tile.

    Raises
    ------
    SlideError
        The slide is missing, unreadable, of another size than the project says, or has no usable pixel size.
    DataFileError
        The entry's ``data.qpdata`` cannot be read.
    """
    from her2qp.slides import check_size, open_slide, resolve_mpp
    from her2qp.tiling import TileGrid, make_tiles
    from her2qp.tiling.tissuecache import tissue_of

    annotations, cores = entry.annotations, entry.tma_cores
    with open_slide(entry.require_slide(), entry.view) as slide:
        check_size(slide, entry.size, where=entry.name)
        calibration = entry.pixel_calibration
        slide_mpp = resolve_mpp((calibration.width, calibration.height), slide.mpp, settings.mpp, where=entry.name)
        found = _find_regions(annotations, cores, slide.size, settings)
        grid = TileGrid(tile_px=tile_px, mpp=mpp, slide_mpp=slide_mpp, stride_px=settings.stride_px)
        tissue = tissue_of(slide, slide_mpp, settings.cache() / "tissue") if found.regions else None
        placed = make_tiles(
            slide, found, grid, min_region=settings.min_region, min_tissue=settings.min_tissue, tissue=tissue
        )
        left_out = cores_left_out(cores, found, placed.tiles) if settings.tma else ()
        notes = [*found.notes, *notes_on_cores(cores, left_out, is_scored=settings.tma)]
        table = entry.hierarchy.cell_table() if cells else None
        counts = count_cells(table, placed.tiles, found.regions, slide_mpp) if table else None
        if table is not None and counts is None:
            notes.append("the image holds no cells to count: detect them in QuPath first")
        yield TilePlan(
            slide, slide_mpp, list(found.regions), placed.tiles, placed.reason, tuple(notes), left_out, counts
        )


def _find_regions(
    annotations: Sequence[PathObject], cores: Sequence[PathObject], slide_size: tuple[int, int], settings: TileSettings
) -> RegionSet:
    from her2qp.tiling import core_regions, make_regions, whole_slide_region

    classes, exclude = settings.wanted_classes(), settings.excluded_classes()
    if settings.tma:
        classes = () if settings.whole_tissue else classes
        return core_regions(cores, annotations, slide_size=slide_size, classes=classes, exclude=exclude)
    if settings.whole_tissue:
        return whole_slide_region(annotations, slide_size=slide_size, exclude=exclude)
    return make_regions(annotations, slide_size=slide_size, classes=classes, exclude=exclude)
