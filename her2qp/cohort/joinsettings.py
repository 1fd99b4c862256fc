"""How the labels of a cohort are found and read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator

from her2qp.cohort.table import LABEL
from her2qp.scheme import Scheme
from her2qp.scoring.vocabulary import METADATA_KEYS


class JoinSettings(BaseModel):
    """Settings of :func:`her2qp.make_cohort`.

    A column that the table of labels lacks is looked for in the images' metadata.

    Parameters
    ----------
    label_column
        Of the HER2 result.
    patient_column, slide_column
        Which row belongs to which image: by the slide's file name where there is such a column, else by the patient.
        None looks for the usual names (``PATIENT``, ``Case ID``; ``FILENAME``, ``slide_id`` …).
    site_column
        Of the site; None looks for the usual names (``SITE``, ``Hospital``, ``Center``, ``Institution`` …), and in TCGA
        barcodes.
    ish_column
        Of the ISH result, which decides a 2+.
    scheme
        Of the classes.
    where
        ``COLUMN=VALUE``: only slides of which this is so. Several values of one column are alternatives.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label_column: str = LABEL
    patient_column: str | None = None
    slide_column: str | None = None
    site_column: str | None = None
    ish_column: str | None = None
    scheme: Scheme = Scheme.GRADES
    where: tuple[str, ...] = ()

    @field_validator("label_column")
    @classmethod
    def _not_our_own(cls, name: str) -> str:
        if name in METADATA_KEYS:
            raise ValueError(f"{name!r} is what her2qp predicted, not a label")
        return name

    @field_validator("where")
    @classmethod
    def _conditions(cls, where: tuple[str, ...]) -> tuple[str, ...]:
        for condition in where:
            if not condition.partition("=")[1]:
                raise ValueError(f"{condition!r} is not of the form COLUMN=VALUE")
        return where

    def conditions(self) -> dict[str, set[str]]:
        """Values that each column may have, in lower case."""
        allowed: dict[str, set[str]] = {}
        for condition in self.where:
            column, _, value = condition.partition("=")
            allowed.setdefault(column.strip(), set()).add(value.strip().lower())
        return allowed
