"""Artificial cohorts whose truth is known, to prove models and protocols on. They say nothing about real HER2."""

from her2qp.studies.design import DU_LOCAL, DU_TCGA, CohortDesign
from her2qp.studies.generator import ArtificialCohort, make_artificial_cohort

__all__ = ["DU_LOCAL", "DU_TCGA", "ArtificialCohort", "CohortDesign", "make_artificial_cohort"]
