"""What a run learns from and judges: the slides of a cohort with their bags."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from her2qp.cohort.bags import load_features
from her2qp.cohort.table import Cohort
from her2qp.evaluation.predictions import Cases
from her2qp.models.bag import Bag
from her2qp.models.bundle_config import FeatureSpec
from her2qp.models.model import Model
from her2qp.training.config import CohortSettings
from her2qp.training.fit import Examples
from her2qp.training.monitor import Monitor

TUMOUR_AREA = "area (mm²)"
"""Covariate that every slide gets: the area of its tiles, which is all that a model could know without looking."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBags:
    """Slides whose class is known, with their bags.

    Parameters
    ----------
    cases
        One a slide; the area of its tiles is among the covariates.
    bags
        Of the same slides in the same order.
    features
        What the features are.
    source
        Where they come from, in words.
    """

    cases: Cases
    bags: tuple[Bag, ...]
    features: FeatureSpec
    source: str

    @classmethod
    def load(cls, settings: CohortSettings, monitor: Monitor) -> LabelledBags:
        """Read a cohort and its features.

        Parameters
        ----------
        settings
            Which.
        monitor
            Is told of every slide.

        Raises
        ------
        CohortError, ModelError, ExtractorError, ProjectError, SlideError
            As for :meth:`her2qp.cohort.table.Cohort.read` and :func:`her2qp.cohort.bags.load_features`.
        """
        cohort = Cohort.read(settings.cohort, settings.label_column)
        monitor.slides_loading(len(cohort))
        found = load_features(
            cohort,
            settings.features,
            tile_um=settings.tile_um,
            memory_gb=settings.memory_gb,
            progress=monitor.slides_loaded,
            **settings.tiles.model_dump(),
        )
        return cls.of(cases_of(cohort), found.bags, found.features, found.source)

    @classmethod
    def of(cls, cases: Cases, bags: tuple[Bag, ...], features: FeatureSpec, source: str) -> LabelledBags:
        """Put cases and their bags together."""
        area = np.array([len(bag) * bag.tile_um**2 / 1e6 for bag in bags])
        covariates = {**cases.covariates, TUMOUR_AREA: area}
        with_area = Cases(
            labels=cases.labels,
            classes=cases.classes,
            patients=cases.patients,
            slides=cases.slides,
            sites=cases.sites,
            covariates=covariates,
        )
        return cls(with_area, bags, features, source)

    def __len__(self) -> int:
        return len(self.bags)

    def prepared_for(self, model: Model) -> LabelledBags:
        """The same with all that models of this architecture and hyperparameters need once for each bag.

        Raises
        ------
        ModelError
            The features have another dimension than the model's.
        """
        return replace(self, bags=tuple(model.prepare(bag) for bag in self.bags))

    def examples(self, rows: NDArray[np.int64]) -> Examples:
        """Bags and labels of some slides."""
        return Examples([self.bags[row] for row in rows], self.cases.labels[rows].tolist())

    @property
    def mean_features(self) -> NDArray[np.float64]:
        """Mean of the tile features of each slide, shape (n, d)."""
        return np.array([bag.features.mean(axis=0, dtype=np.float64) for bag in self.bags])

    @property
    def sha256(self) -> str:
        """Digest of names, labels, sites, features and places."""
        content = hashlib.sha256()
        cases = self.cases
        for column in (cases.slides, cases.patients, cases.sites):
            content.update(repr(None if column is None else column.tolist()).encode())
        content.update(repr(cases.classes).encode() + cases.labels.tobytes())
        for bag in self.bags:
            content.update(bag.features.data)
            content.update(np.ascontiguousarray(bag.positions_um).data)
        return content.hexdigest()


def cases_of(cohort: Cohort) -> Cases:
    """Take the slides of a cohort as cases to judge."""
    return Cases(
        labels=cohort.labels,
        classes=cohort.classes,
        patients=cohort.patients,
        slides=cohort.filenames,
        sites=cohort.sites,
        covariates={name: cohort.covariates(name) for name in cohort.covariate_names},
    )
