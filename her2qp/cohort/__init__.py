"""Slides with known HER2 labels: which image belongs to whom, what its class is, and where its features are."""

from her2qp.cohort.labels import CLASSES, Scheme
from her2qp.cohort.table import Cohort, CohortRow

__all__ = ["CLASSES", "Cohort", "CohortRow", "Scheme"]
