"""Draw an artificial cohort: features of tiles are drawn directly, without any slide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2qp.cohort.bags import CohortFeatures
from her2qp.cohort.table import Cohort, CohortRow
from her2qp.errors import CohortError
from her2qp.features.feature_file import FeatureFile
from her2qp.models.bag import Bag
from her2qp.models.bundle_config import FeatureSpec
from her2qp.scheme import Scheme
from her2qp.studies.design import CohortDesign

TILE_PX, MPP = 256, 0.5
EXTRACTOR = "artificial-features"
_TISSUES = 4
_TISSUE_SPREAD = 0.5
_GAIN = 0.05
_STAIN_DIRECTIONS = 4
"""Sites differ in few directions, as stains and scanners do; the more of them, the harder a new site."""


@dataclass(frozen=True, slots=True, eq=False)
class ArtificialCohort:
    """A cohort and the truth about it.

    Parameters
    ----------
    design
        What it was drawn from.
    cohort
        Patients, sites and labels.
    features
        The bags, in the order of the cohort.
    planted
        For each slide, which tiles are tumour and so carry the signal: bool (n,).
    """

    design: CohortDesign
    cohort: Cohort
    features: CohortFeatures
    planted: tuple[NDArray[np.bool_], ...]

    def write(self, folder: str | Path) -> Path:
        """Write ``cohort.csv``, and in ``features`` one HDF5 file a slide in TRIDENT's layout.

        Returns
        -------
        Path
            The table; :func:`her2qp.cohort.bags.load_features` reads the features back from the folder beside it.

        Raises
        ------
        CohortError
            The folder cannot be written.
        """
        place = Path(folder)
        try:
            for bag in self.features.bags:
                _feature_file(bag).write(place / "features" / f"{bag.name}.h5")
        except OSError as error:
            raise CohortError(f"the features cannot be written ({error.strerror or error})", where=place) from error
        self.cohort.write(place / "cohort.csv")
        return place / "cohort.csv"


def make_artificial_cohort(design: CohortDesign) -> ArtificialCohort:
    """Draw a cohort.

    Parameters
    ----------
    design
        What it is to be like; the same design gives the same cohort.

    Examples
    --------
    >>> made = make_artificial_cohort(CohortDesign(counts=(5, 5, 5, 5), tiles=50, signal=3.0, seed=1))
    >>> len(made.cohort), made.features.bags[0].dimension
    (20, 64)
    """
    rng = np.random.default_rng([design.seed, 1])
    world = _World.of(design)
    grades = Scheme.GRADES.classes
    rows, bags, planted = [], [], []
    for patient, grade in enumerate(rng.permutation(np.repeat(np.arange(len(grades)), design.counts))):
        site = _draw_site(rng, design, int(grade))
        own = rng.normal(scale=design.patient_spread, size=design.dimension) if design.patient_spread else 0.0
        for slide in range(1 + int(rng.random() < design.second_slides)):
            name = f"A{design.seed}-{patient + 1:04d}-{slide + 1}"
            bag, mask = _draw_slide(rng, design, world, int(grade), site, own, name)
            rows.append(CohortRow(f"A{design.seed}-{patient + 1:04d}", name, grades[grade], _site_name(design, site)))
            bags.append(bag)
            planted.append(mask)
    spec = FeatureSpec(
        extractor=EXTRACTOR,
        dimension=design.dimension,
        tile_px=TILE_PX,
        mpp=MPP,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        weights_sha256="",
        preprocessing_sha256="",
    )
    features = CohortFeatures(tuple(bags), spec, "artificial features, drawn without slides")
    return ArtificialCohort(design, Cohort(tuple(rows), grades), features, tuple(planted))


@dataclass(frozen=True, slots=True, eq=False)
class _World:
    """Mean features of tissues (t, d), of grades (g, d), and the shift (s, d) and gain (s, d) of sites."""

    tissues: NDArray[np.float64]
    grades: NDArray[np.float64]
    shifts: NDArray[np.float64]
    gains: NDArray[np.float64]

    @classmethod
    def of(cls, design: CohortDesign) -> _World:
        rng, d, grades = np.random.default_rng([design.world, 2]), design.dimension, len(design.counts)
        tissues = rng.normal(scale=_TISSUE_SPREAD, size=(_TISSUES, d))
        ladder = design.signal * (np.arange(grades) / (grades - 1) - 0.5)
        morphology = ladder[:, None] * _unit(rng.normal(size=d))
        directions = rng.normal(size=(_STAIN_DIRECTIONS, d))
        shifts, gains = np.empty((design.sites, d)), np.empty((design.sites, d))
        for site in range(design.sites):
            drawn = np.random.default_rng([design.world, 3, design.first_site + site])
            shifts[site] = design.site_shift * _unit(drawn.normal(size=_STAIN_DIRECTIONS) @ directions)
            gains[site] = 1 + _GAIN * drawn.normal(size=d) * min(1.0, design.site_shift)
        return cls(tissues, morphology, shifts, gains)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))


def _draw_site(rng: np.random.Generator, design: CohortDesign, grade: int) -> int:
    """A site of the patient's grade in so many cases as the confounding says, else any site."""
    of_grade = np.arange(design.sites)[grade :: len(design.counts)]
    return int(rng.choice(of_grade) if rng.random() < design.confounding else rng.integers(design.sites))


def _site_name(design: CohortDesign, site: int) -> str:
    return f"S{design.first_site + site + 1:02d}"


def _draw_slide(
    rng: np.random.Generator,
    design: CohortDesign,
    world: _World,
    grade: int,
    site: int,
    own: NDArray[np.float64] | float,
    name: str,
) -> tuple[Bag, NDArray[np.bool_]]:
    count = max(4, round(design.tiles * rng.uniform(0.5, 1.5)))
    grid = _tissue_grid(rng, count)
    mask = _tumour_mask(rng, grid, rng.uniform(*design.tumour_share))
    kinds = np.where(mask, 0, _patches(rng, grid, _TISSUES - 1) + 1)
    means = world.tissues[kinds] + mask[:, None] * world.grades[grade] + own
    features = (means + rng.normal(size=means.shape)) * world.gains[site] + world.shifts[site]
    tile_um = TILE_PX * MPP
    return Bag(features.astype(np.float32), (grid + 0.5) * tile_um, tile_um=tile_um, name=name), mask


def _tissue_grid(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Column and row of the `count` tiles of a grid that are nearest to the middle of an ellipse, shape (n, 2)."""
    axes = np.array([1.0, rng.uniform(0.5, 1.0)])
    half = int(np.ceil(np.sqrt(count / axes[1]))) + 1
    grid = np.stack(np.meshgrid(np.arange(-half, half + 1), np.arange(-half, half + 1)), axis=-1).reshape(-1, 2)
    nearest = np.argsort(((grid / axes) ** 2).sum(axis=1), kind="stable")[:count]
    return np.asarray(grid[np.sort(nearest)] + half, np.float64)


def _tumour_mask(rng: np.random.Generator, grid: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """The given share of the tiles, around one to three of them."""
    centres = grid[rng.choice(len(grid), size=min(len(grid), int(rng.integers(1, 4))), replace=False)]
    apart = np.linalg.norm(grid[:, None] - centres[None], axis=2).min(axis=1)
    mask = np.zeros(len(grid), np.bool_)
    mask[np.argsort(apart, kind="stable")[: max(1, round(share * len(grid)))]] = True
    return mask


def _patches(rng: np.random.Generator, grid: NDArray[np.float64], kinds: int) -> NDArray[np.int64]:
    """A kind for each tile, the same for neighbours: that of the nearest of some seeds."""
    seeds = grid[rng.choice(len(grid), size=min(len(grid), 4 * kinds), replace=False)]
    nearest = np.linalg.norm(grid[:, None] - seeds[None], axis=2).argmin(axis=1)
    return np.asarray(rng.integers(kinds, size=len(seeds))[nearest], np.int64)


def _feature_file(bag: Bag) -> FeatureFile:
    corners = (bag.positions_um - bag.tile_um / 2) / MPP
    grid = {"patch_size": TILE_PX, "patch_size_level0": TILE_PX, "level0_magnification": 20, "target_magnification": 20}
    return FeatureFile(
        key=bag.name,
        features=bag.features,
        bounds=np.hstack([corners, corners + TILE_PX]),
        feature_attributes={"name": bag.name, "encoder": EXTRACTOR, "her2qp_fingerprint": ""},
        coords_attributes={"name": bag.name, "overlap": 0, **grid},
    )
