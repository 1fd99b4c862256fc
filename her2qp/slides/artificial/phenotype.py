"""How the tumour cells of an artificial slide look at a HER2 level.

The relation is invented: it lets a program be tested and demonstrated end to end and says nothing about real tumours.
Nuclear grade grows with the level, but cases and nests scatter around it, so that neighbouring levels overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CASE_SPREAD = 0.3
"""Standard deviation, in levels, of a case's severity around its HER2 level."""

NEST_SPREAD = 0.35
"""Standard deviation, in levels, of a nest's severity around its case."""

SEVERITY_RANGE = (-0.5, 3.5)


@dataclass(frozen=True, slots=True)
class Phenotype:
    """Nuclei and cells at one severity.

    Parameters
    ----------
    nucleus_diameter, nucleus_diameter_cv
        Mean in µm, and coefficient of variation (anisonucleosis).
    irregularity
        Relative amplitude of the nuclear outline's deviation from an ellipse.
    chromatin
        Mean haematoxylin density, 0 to 1 (hyperchromasia).
    clumping
        Relative amplitude of the chromatin's texture.
    nucleolus_share, mitosis_share
        Share of nuclei with a prominent nucleolus, and in mitosis.
    cell_spacing
        Distance of neighbouring cell centres in µm.
    """

    nucleus_diameter: float
    nucleus_diameter_cv: float
    irregularity: float
    chromatin: float
    clumping: float
    nucleolus_share: float
    mitosis_share: float
    cell_spacing: float


def phenotype(severity: float) -> Phenotype:
    """Phenotype at a severity: a HER2 level (0 to 3) plus its scatter, limited to `SEVERITY_RANGE`."""
    s = float(np.clip(severity, *SEVERITY_RANGE))
    return Phenotype(
        nucleus_diameter=6.9 + 1.0 * s,
        nucleus_diameter_cv=0.10 + 0.045 * max(s, 0.0),
        irregularity=0.02 + 0.012 * max(s, 0.0),
        chromatin=0.38 + 0.045 * s,
        clumping=0.13 + 0.03 * max(s, 0.0),
        nucleolus_share=0.08 + 0.17 * max(s, 0.0),
        mitosis_share=0.001 + 0.006 * max(s, 0.0),
        cell_spacing=13.6 - 0.65 * s,
    )
