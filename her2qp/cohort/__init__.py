"""Slides with known HER2 labels: which image belongs to whom, what its class is, and where its features are."""

from her2qp.cohort.table import Cohort, CohortRow
from her2qp.scheme import Scheme

__all__ = ["Cohort", "CohortRow", "Scheme"]
