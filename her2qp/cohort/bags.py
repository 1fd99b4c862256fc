"""The features of a cohort as bags, one a slide: from the feature store, or from files of other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from her2qp.cohort.featurefolder import FeatureFolder, SlideFeatures, read_features
from her2qp.cohort.images import CohortImages
from her2qp.cohort.keeping import MEMORY_GB, Memory
from her2qp.cohort.table import Cohort, CohortRow
from her2qp.errors import CohortError
from her2qp.features import DEFAULT_EXTRACTOR, ExtractorInfo, FeatureStore, extractor_info, list_extractors
from her2qp.models.bag import Bag
from her2qp.models.bundle_config import FeatureSpec
from her2qp.scoring.image import plan_tiles
from her2qp.scoring.settings import TileSettings
from her2qp.slides.calibration import resolve_mpp

_SAME_SIDE = 1.25
"""Tiles of one magnification differ by so much between scanners; more is another magnification."""
_SAME_MPP = 1.05
_NO_NORMALISATION = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@dataclass(frozen=True, slots=True, eq=False)
class CohortFeatures:
    """The bags of a cohort.

    Parameters
    ----------
    bags
        One a row of the cohort, in its order. Features for which there was no memory are read whenever they are wanted.
    features
        What the features are. Where files of another program do not tell what made them beyond a name, its hashes are
        empty, and a bundle trained on them refuses every extractor; see `extractor` of :func:`load_features`.
    source
        Where they come from, in words.
    """

    bags: tuple[Bag, ...]
    features: FeatureSpec
    source: str


def load_features(
    cohort: Cohort,
    folder: str | Path | None = None,
    *,
    tile_um: float | None = None,
    memory_gb: float = MEMORY_GB,
    progress: Callable[[int], None] | None = None,
    **settings: Any,
) -> CohortFeatures:
    """Look through the features of all slides of a cohort, and keep as many in memory as may be.

    Parameters
    ----------
    cohort
        Without `folder`, every row must name its project and image.
    folder
        Of HDF5 files, one a slide and named like it, that TRIDENT, CLAM, STAMP or her2qp wrote. None takes her2qp's
        feature store, as filled by ``her2qp features`` with the same settings; no pixel is read.
    tile_um
        Side of a tile in µm, for files that count in pixels and do not say how large one is (CLAM), or say it only
        through a magnification (TRIDENT). The pixel size in the QuPath project counts for more.
    memory_gb
        How much memory the features may take, in 10⁹ bytes. What does not fit is read from its file each time it is
        used, which gives the same results and takes longer.
    progress
        Called with 1 after each slide.
    **settings
        Of :class:`her2qp.scoring.settings.TileSettings`. For a folder only `mpp`, the pixel size at level 0, and
        `extractor` matter: the extractor that made the features, so that a bundle trained on them knows it.

    Raises
    ------
    CohortError
        Slides have no features or no tile, a file cannot be read, the slides' features are of different extractors,
        dimensions or tile sizes, or the tile size is not known.
    ModelError
        Features are not finite.
    ExtractorError
        The extractor is unknown.
    ProjectError, SlideError
        A project or slide of the feature store cannot be read.

    Examples
    --------
    >>> cohort = Cohort.read("cohort.csv")  # doctest: +SKIP
    >>> found = load_features(cohort, "20x_256px_0px_overlap/features_uni_v1")  # doctest: +SKIP
    >>> found.bags[0].features.shape, found.features.extractor  # doctest: +SKIP
    ((5123, 1024), 'uni_v1')
    """
    chosen = TileSettings(**settings)
    if chosen.tma:
        raise CohortError("the cores of a tissue microarray are of different patients: they are no bag of one slide")
    report, memory = progress or (lambda slides: None), Memory(memory_gb)
    if folder is None:
        return _from_store(cohort, chosen, memory, report)
    return _from_folder(cohort, FeatureFolder(Path(folder)), chosen, tile_um, memory, report)


def _from_store(
    cohort: Cohort, settings: TileSettings, memory: Memory, report: Callable[[int], None]
) -> CohortFeatures:
    info = extractor_info(settings.extractor or DEFAULT_EXTRACTOR)
    store = FeatureStore(settings.cache() / "features")
    with CohortImages() as images:
        bags = _each(cohort.rows, lambda row: _stored_bag(row, images, settings, info, store, memory), report)
    return CohortFeatures(bags, FeatureSpec.of(info), f"feature store {store.folder}")


def _stored_bag(
    row: CohortRow,
    images: CohortImages,
    settings: TileSettings,
    info: ExtractorInfo,
    store: FeatureStore,
    memory: Memory,
) -> Bag:
    entry = images.find(row)
    if entry is None:
        raise CohortError(
            f"the table does not say which image of a QuPath project shows slide {row.filename}",
            remedy="Name the folder of its features, or make the table with `her2qp cohort`.",
        )
    with plan_tiles(entry, settings, tile_px=info.tile_px, mpp=info.mpp) as plan:
        if not len(plan.tiles):
            raise CohortError(f"the slide has no tile: {plan.reason}", where=f"slide {row.filename}")
        bounds = np.ascontiguousarray(plan.tiles.bounds, np.float64)
        known = store.load(plan.slide, info, bounds)
        if not known.found.all():
            raise CohortError(
                f"the features of {int((~known.found).sum())} of {len(bounds)} tiles are not in the store",
                where=f"slide {row.filename}",
                remedy="Run `her2qp features` on its project first, with the same options.",
            )
        centres = (bounds[:, :2] + bounds[:, 2:]) / 2 * plan.mpp
        bag = Bag(known.features, centres, tile_um=info.tile_px * info.mpp, name=row.filename)
        return memory.keep(bag, store.path(plan.slide, info, bounds), known.rows)


def _from_folder(
    cohort: Cohort,
    folder: FeatureFolder,
    settings: TileSettings,
    tile_um: float | None,
    memory: Memory,
    report: Callable[[int], None],
) -> CohortFeatures:
    first: list[SlideFeatures] = []
    with CohortImages() as images:

        def load(row: CohortRow) -> Bag:
            file = read_features(folder.find(row.filename))
            _require_same(first, file)
            bag = _bag_of(row, file, _um_per_unit(row, file, images, settings.mpp, tile_um))
            if not first:
                first.append(file)
            return memory.keep(bag, file.path)

        bags = _each(cohort.rows, load, report)
    _require_one_size(bags)
    spec = _spec(first[0], bags)
    if settings.extractor is not None:
        spec = _vouched(spec, extractor_info(settings.extractor), first[0].path)
    return CohortFeatures(bags, spec, f"{first[0].dialect} features in {folder.folder}")


def _each(
    rows: Sequence[CohortRow], load: Callable[[CohortRow], Bag], report: Callable[[int], None]
) -> tuple[Bag, ...]:
    """Load every slide; slides that have no features are told all together."""
    bags, problems = [], []
    for row in rows:
        try:
            bags.append(load(row))
        except CohortError as error:
            problems.append(error)
        report(1)
    if problems:
        first, more = problems[0], len(problems) - 1
        also = f" (and {more} more of the {len(rows)} slides cannot be used)" if more else ""
        raise CohortError(first.what + also, where=first.where, remedy=first.remedy)
    return tuple(bags)


def _bag_of(row: CohortRow, file: SlideFeatures, um_per_unit: float) -> Bag:
    if not len(file.features):
        raise CohortError("the slide has no tile", where=file.path, remedy="Take it out of the table.")
    side_um = file.side * um_per_unit
    return Bag(file.features, file.corners * um_per_unit + side_um / 2, tile_um=side_um, name=row.filename)


def _um_per_unit(
    row: CohortRow, file: SlideFeatures, images: CohortImages, mpp: float | None, tile_um: float | None
) -> float:
    """µm of the unit in which a file counts: measured by the project, told by the user, or meant by a magnification."""
    if file.in_um:
        return 1.0
    entry = images.find(row)
    calibration = None if entry is None else entry.pixel_calibration
    if mpp is not None or (calibration is not None and calibration.is_calibrated):
        sides = None if calibration is None else (calibration.width, calibration.height)
        return resolve_mpp(sides, None, mpp, where=row.filename)
    if tile_um is None and file.tile_px and file.nominal_mpp:
        tile_um = file.tile_px * file.nominal_mpp
    if tile_um is None or not file.side > 0:
        raise CohortError(
            f"the {file.dialect} file does not say how large a tile is in µm",
            where=file.path,
            remedy="Give the side of a tile in µm (for example 128 for 256 px at 20x), or the pixel size at level 0.",
        )
    return tile_um / file.side


def _require_same(first: Sequence[SlideFeatures], file: SlideFeatures) -> None:
    for known in first:
        for what, one, other in (
            ("extractors", known.extractor, file.extractor),
            ("dimensions", known.features.shape[1], file.features.shape[1]),
            ("tile sizes in pixels", known.tile_px, file.tile_px),
            ("versions of the extractor", known.fingerprint[:12], file.fingerprint[:12]),
        ):
            if one != other:
                raise CohortError(
                    f"the features are of different {what}: {one} in {known.path.name}, {other} here",
                    where=file.path,
                    remedy="Extract all slides with the same extractor and settings.",
                )


def _require_one_size(bags: Sequence[Bag]) -> None:
    sides = [bag.tile_um for bag in bags]
    if max(sides) > _SAME_SIDE * min(sides):
        small, large = bags[int(np.argmin(sides))], bags[int(np.argmax(sides))]
        raise CohortError(
            f"the tiles are of different sizes: {small.tile_um:.4g} µm in {small.name}, "
            f"{large.tile_um:.4g} µm in {large.name}",
            remedy="Extract all slides at the same magnification.",
        )


def _spec(file: SlideFeatures, bags: Sequence[Bag]) -> FeatureSpec:
    known = [listing.info for listing in list_extractors() if listing.available]
    made_by = [info for info in known if file.fingerprint and info.fingerprint == file.fingerprint]
    if made_by:
        return FeatureSpec.of(made_by[0])
    side_um = float(np.median([bag.tile_um for bag in bags]))
    tile_px = file.tile_px or max(1, round(file.side))
    return FeatureSpec(
        extractor=file.extractor,
        dimension=file.features.shape[1],
        tile_px=tile_px,
        mpp=file.nominal_mpp or side_um / tile_px,
        weights_sha256="",
        preprocessing_sha256=file.fingerprint,
        **_NO_NORMALISATION,
    )


def _vouched(spec: FeatureSpec, info: ExtractorInfo, path: Path) -> FeatureSpec:
    """What the extractor that the user names says of the features, unless it cannot have made them."""
    for what, one, other in (
        ("dimension", spec.dimension, info.dimension),
        ("side of a tile in pixels", spec.tile_px, info.tile_px),
    ):
        if one != other:
            raise CohortError(f"the extractor {info.id} cannot have made this: {what} {one}, not {other}", where=path)
    if not 1 / _SAME_MPP <= spec.mpp / info.mpp <= _SAME_MPP:
        raise CohortError(
            f"the extractor {info.id} cannot have made this: {spec.mpp:.4g} µm/px, not {info.mpp:.4g}", where=path
        )
    return FeatureSpec.of(info)
