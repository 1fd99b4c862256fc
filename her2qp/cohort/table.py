"""A cohort as a table: one row a slide with its patient, class and site.

The file is STAMP-style CSV: ``PATIENT``, ``FILENAME``, the label under a name of its own, ``SITE``, and for slides of
QuPath projects ``PROJECT`` and ``IMAGE``. Every other column is a covariate.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2qp.cohort.labels import class_of, scheme_of
from her2qp.cohort.patients import tcga_site
from her2qp.errors import CohortError
from her2qp.tabular import Column, as_column, read_columns, write_columns

PATIENT, FILENAME, SITE, PROJECT, IMAGE = "PATIENT", "FILENAME", "SITE", "PROJECT", "IMAGE"
FIXED_COLUMNS = (PATIENT, FILENAME, SITE, PROJECT, IMAGE)
LABEL = "HER2"
"""Name of the label column where nobody names another."""


@dataclass(frozen=True, slots=True)
class CohortRow:
    """A slide whose class is known.

    Parameters
    ----------
    patient
        Whose slide it is.
    filename
        Name of the slide file, or of the image where several images show one file.
    label
        Its class.
    site
        Where the tissue comes from; None if unknown.
    project
        The QuPath project of the image; None for a slide known by its features alone.
    image
        Name of the image in the project, or its id where several have the name.
    covariates
        What else the table says of the slide, by column.
    """

    patient: str
    filename: str
    label: str
    site: str | None = None
    project: Path | None = None
    image: str | None = None
    covariates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cohort:
    """Slides whose class is known.

    Parameters
    ----------
    rows
        One a slide.
    classes
        From low to high: those of a :class:`her2qp.scheme.Scheme`.
    label_column
        Name of the column that holds the label.

    Raises
    ------
    CohortError
        There is no slide, a slide occurs twice, a label is no class, or all slides have the same one.
    """

    rows: tuple[CohortRow, ...]
    classes: tuple[str, ...]
    label_column: str = LABEL

    def __post_init__(self) -> None:
        if not self.rows:
            raise CohortError("the cohort holds no slide")
        first: dict[str, CohortRow] = {}
        for row in self.rows:
            if row.label not in self.classes:
                raise CohortError(
                    f"the label {row.label!r} is none of {', '.join(self.classes)}", where=f"slide {row.filename}"
                )
            known = first.setdefault(row.filename, row)
            if known is not row:
                two = f"with two labels, {known.label} and {row.label}" if known.label != row.label else "twice"
                raise CohortError(f"the slide is in the cohort {two}", where=f"slide {row.filename}")
        if len({row.label for row in self.rows}) < 2:
            raise CohortError(
                f"all {len(self)} slides are {self.rows[0].label}: one class alone cannot be told from another",
                remedy="Add slides of another class, or map the labels to another scheme.",
            )

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Index of the class of each slide, shape (n,)."""
        number = {name: k for k, name in enumerate(self.classes)}
        return np.array([number[row.label] for row in self.rows], np.int64)

    @cached_property
    def patients(self) -> NDArray[np.str_]:
        """Patient of each slide, shape (n,)."""
        return np.array([row.patient for row in self.rows], np.str_)

    @cached_property
    def filenames(self) -> NDArray[np.str_]:
        """Name of each slide, shape (n,); no name occurs twice."""
        return np.array([row.filename for row in self.rows], np.str_)

    @cached_property
    def sites(self) -> NDArray[np.str_] | None:
        """Site of each slide, shape (n,); None unless it is known of every one."""
        sites = [row.site for row in self.rows]
        return None if None in sites else np.array(sites, np.str_)

    @property
    def covariate_names(self) -> tuple[str, ...]:
        """Names of what else is known, in the order of the columns."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.covariates))

    def covariates(self, name: str) -> Column:
        """Values of a covariate, shape (n,): float64 where all are numbers (NaN where unknown), else text.

        Raises
        ------
        CohortError
            There is no such column.
        """
        if name not in self.covariate_names:
            known = ", ".join(self.covariate_names) or "none"
            raise CohortError(f"there is no column {name!r} in the cohort; there is {known}")
        return as_column([row.covariates.get(name, "") for row in self.rows])

    @classmethod
    def read(cls, path: str | Path, label_column: str | None = None) -> Cohort:
        """Read a table that :meth:`write` wrote, or one that STAMP would take.

        Parameters
        ----------
        path
            CSV or Excel with ``PATIENT``, ``FILENAME`` and a label. A missing ``PATIENT`` or ``SITE`` is taken from
            the name where that is a TCGA barcode. A slide without a label is left out.
        label_column
            Name of the column with the label; None takes ``HER2``, or else the only column that can be it.

        Raises
        ------
        CohortError
            The file cannot be read, a column is missing, or the labels are of no known kind.
        """
        file = Path(path)
        columns = read_columns(file, CohortError)
        missing = [name for name in (PATIENT, FILENAME) if name not in columns]
        if missing:
            raise CohortError(
                f"the table has no column {' and none '.join(missing)}; it has {', '.join(columns) or 'none'}",
                where=file,
            )
        label = _label_column(columns, label_column, file)
        rows = [k for k, text in enumerate(columns[label]) if text]
        try:
            scheme = scheme_of([columns[label][k] for k in rows])
            labels = [class_of(columns[label][k], scheme) for k in rows]
            others = [name for name in columns if name not in (*FIXED_COLUMNS, label)]
            return cls(
                tuple(
                    _row_of({name: values[k] for name, values in columns.items()}, known, others, file.parent)
                    for k, known in zip(rows, labels, strict=True)
                    if known is not None
                ),
                scheme.classes,
                label,
            )
        except CohortError as error:
            raise CohortError(error.what, where=f"{file}, {error.where or label}", remedy=error.remedy) from error

    def write(self, path: str | Path) -> None:
        """Write the table as CSV; a project below the folder of the table is named relative to it.

        Raises
        ------
        CohortError
            The file cannot be written.
        """
        file = Path(path)
        columns: list[tuple[str, Sequence[str]]] = [
            (PATIENT, [row.patient for row in self.rows]),
            (FILENAME, [row.filename for row in self.rows]),
            (self.label_column, [row.label for row in self.rows]),
            (SITE, [row.site or "" for row in self.rows]),
            (PROJECT, [_project_text(row.project, file.parent) for row in self.rows]),
            (IMAGE, [row.image or "" for row in self.rows]),
        ]
        columns += [(n, [row.covariates.get(n, "") for row in self.rows]) for n in self.covariate_names]
        write_columns(file, columns, CohortError)


def check_output(file: Path, labels: Path | None) -> None:
    """Refuse a place for the table of a cohort that a file of another kind has: the last of many projects, say.

    Raises
    ------
    CohortError
        `file` does not end in ``.csv``, or is that of the labels.
    """
    if file.suffix.lower() != ".csv":
        raise CohortError("the table is CSV", where=file, remedy="Name the file last, with a name that ends in .csv.")
    if labels is not None and file.resolve() == labels.resolve():
        raise CohortError("that is the table of the labels itself", where=file, remedy="Give the cohort another name.")


def _label_column(columns: Mapping[str, list[str]], wanted: str | None, file: Path) -> str:
    if wanted is not None or LABEL in columns:
        name = wanted or LABEL
        if name in columns:
            return name
        raise CohortError(f"the table has no column {name!r}; it has {', '.join(columns)}", where=file)
    others = [name for name in columns if name not in FIXED_COLUMNS]
    is_ours = tuple(columns)[3:6] == (SITE, PROJECT, IMAGE)
    if len(others) == 1 or (is_ours and others):
        return others[0]
    raise CohortError(
        f"which column holds the label is not clear: {', '.join(others) or 'there is none'}",
        where=file,
        remedy=f"Name it, or call it {LABEL}.",
    )


def _row_of(values: Mapping[str, str], label: str, covariates: Sequence[str], folder: Path) -> CohortRow:
    filename = values[FILENAME] or values[PATIENT]
    return CohortRow(
        patient=values[PATIENT] or filename,
        filename=filename,
        label=label,
        site=values.get(SITE) or tcga_site(values[PATIENT]),
        project=folder / values[PROJECT] if values.get(PROJECT) else None,
        image=values.get(IMAGE) or None,
        covariates={name: values[name] for name in covariates},
    )


def _project_text(project: Path | None, folder: Path) -> str:
    if project is None:
        return ""
    project, folder = project.resolve(), folder.resolve()
    return Path(os.path.relpath(project, folder)).as_posix() if project.is_relative_to(folder) else str(project)
