"""What an artificial cohort is to be like."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from her2qp.scheme import Scheme

DU_LOCAL = (59, 80, 105, 106)
"""Patients of grade 0 to 3+ in the local cohort of Du et al. 2025 (350, as their table 1 adds up)."""

DU_TCGA = (57, 211, 146, 88)
"""Patients of grade 0 to 3+ in the TCGA cohort of Du et al. 2025 (502)."""


class CohortDesign(BaseModel):
    """What an artificial cohort is to be like. All strengths are lengths in units of the noise of a single feature.

    A slide is a patch of tissue on a grid of tiles. Tiles are of several kinds of tissue, each with a mean feature
    vector of its own. One kind, in one or a few connected areas, is tumour; it alone knows the class.

    Parameters
    ----------
    counts
        Patients of each grade.
    tiles
        Tiles of a slide, in the mean; single slides have half to one and a half times as many.
    dimension
        Features of a tile.
    signal
        How far the tumour of the highest grade lies from that of the lowest; those between lie evenly between. 0 plants
        no morphological signal at all.
    tumour_share
        Least and largest share of the tiles that are tumour; drawn for each slide, whatever its class.
    patient_spread
        Spread of each feature between patients, the same for all tiles of a patient: what no stain or grade explains.
    sites
        Number of sites.
    site_shift
        Length of the shift that stain and scanner of a site add to every tile, beside a gain of a few percent.
    confounding
        0: a patient's site does not depend on the grade. 1: every grade has sites of its own. Between: that share of
        the patients is at a site of their grade.
    second_slides
        Share of the patients with two slides.
    seed
        Of everything that is drawn. Mean vectors of tissues, grades and sites depend on `world` alone.
    world
        Cohorts of one world have the same tissues, the same morphology of grades, and sites of the same stain, so
        that a model trained on one can be judged on another.
    first_site
        Number of the first site: cohorts with other sites are external to each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    counts: tuple[int, ...] = DU_LOCAL
    tiles: int = Field(default=500, ge=8, le=100_000)
    dimension: int = Field(default=64, ge=2, le=4096)
    signal: float = Field(default=3.0, ge=0)
    tumour_share: tuple[float, float] = (0.1, 0.4)
    patient_spread: float = Field(default=0.2, ge=0)
    sites: int = Field(default=12, ge=1, le=500)
    site_shift: float = Field(default=1.5, ge=0)
    confounding: float = Field(default=0.0, ge=0, le=1)
    second_slides: float = Field(default=0.0, ge=0, le=1)
    seed: int = Field(default=0, ge=0)
    world: int = Field(default=0, ge=0)
    first_site: int = Field(default=0, ge=0, le=1000)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        grades, (least, most) = Scheme.GRADES.classes, self.tumour_share
        if len(self.counts) != len(grades) or min(self.counts) < 0 or sum(self.counts) == 0:
            raise ValueError(f"counts must be the patients of each of {', '.join(grades)}")
        if not 0 < least <= most <= 1:
            raise ValueError("tumour_share must be a least and a largest share from 0 to 1")
        if self.confounding and self.sites < len(grades):
            raise ValueError(f"confounding needs a site for each of the {len(grades)} grades")
        return self
