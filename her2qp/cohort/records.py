"""What is known of a slide before anybody made a cohort of it: rows of a table of labels, metadata of images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from her2qp.cohort.patients import patient_in, slide_stem, tcga_patient
from her2qp.errors import CohortError, DataFileError
from her2qp.qupath import open_project
from her2qp.qupath.imageentry import ImageEntry
from her2qp.qupath.objects import ImageType
from her2qp.qupath.project import Project
from her2qp.qupath.uris import uri_name
from her2qp.tabular import read_columns

PATIENT_NAMES = ("patient", "patient id", "patient_id", "case id", "case_id", "case", "bcr_patient_barcode")
SLIDE_NAMES = ("filename", "file name", "slide", "slide id", "slide_id", "image", "image name")
SITE_NAMES = ("site", "hospital", "center", "centre", "institution", "laboratory")
"""What columns with patients, with slides and with sites are called, in lower case."""

_NOT_HE = {
    ImageType.BRIGHTFIELD_H_DAB: "Brightfield (H-DAB)",
    ImageType.BRIGHTFIELD_OTHER: "Brightfield (other)",
    ImageType.FLUORESCENCE: "Fluorescence",
}


def find_column(names: Iterable[str], wanted: str | None, usual: Sequence[str]) -> str | None:
    """Name of the column that the user wants, or else of the first that has one of the usual names."""
    if wanted is not None:
        return wanted
    by_name = {name.lower(): name for name in reversed([*names])}
    return next((by_name[name] for name in usual if name in by_name), None)


@dataclass(frozen=True, slots=True)
class ProjectImage:
    """An image of a QuPath project, and what its name and metadata tell.

    Parameters
    ----------
    project
        The ``.qpproj``.
    image
        Its name, or its id where several images of the project have the name.
    name
        As QuPath shows it.
    filename
        Of the slide file; the name where there is none.
    slide
        What two images have in common that show the same of the same slide file.
    metadata
        Of the entry.
    unfit
        Why it is no H&E image to learn from; empty if it may be one.
    is_damaged
        Whether that is because its objects cannot be read.
    """

    project: Path
    image: str
    name: str
    filename: str
    slide: str
    metadata: Mapping[str, str]
    unfit: str = ""
    is_damaged: bool = False

    def patient_key(self, column: str | None) -> str | None:
        """Metadata key that names the patient: `column`, or else a usual one."""
        return find_column(self.metadata, column, PATIENT_NAMES)

    def patient(self, column: str | None, known: Mapping[str, object]) -> str | None:
        """Whose slide it is: as its metadata or a TCGA barcode says, or which of the known patients it is named after.

        Parameters
        ----------
        column
            Metadata key of the patient; None looks for a usual one.
        known
            Patients in lower case; may be empty.
        """
        names = (self.filename, self.name)
        candidates = [self.metadata.get(self.patient_key(column) or ""), *(patient_in(name, known) for name in names)]
        return next((c for c in [*candidates, *map(tcga_patient, names)] if c), None)


def project_images(path: Path) -> Iterator[ProjectImage]:
    """Tell of the images of a project; reads no pixel.

    Raises
    ------
    ProjectError
        The project cannot be opened.
    """
    with open_project(path, "r", "native") as project:
        names = [entry.name for entry in project.images]
        for entry in project.images:
            yield _project_image(project, entry, is_only=names.count(entry.name) == 1)


def _project_image(project: Project, entry: ImageEntry, *, is_only: bool) -> ProjectImage:
    unfit, is_damaged = "", False
    try:
        if entry.image_type in _NOT_HE:
            unfit = f"it is not H&E: its image type in QuPath is {_NOT_HE[entry.image_type]}"
    except DataFileError as error:
        unfit, is_damaged = str(error), True
    return ProjectImage(
        project=project.path,
        image=entry.name if is_only else str(entry.id),
        name=entry.name,
        filename=uri_name(entry.uri or "") or entry.name,
        slide=json.dumps({k: v for k, v in entry.server_builder.items() if k != "metadata"}, sort_keys=True),
        metadata=dict(entry.metadata),
        unfit=unfit,
        is_damaged=is_damaged,
    )


@dataclass(frozen=True, slots=True)
class LabelTable:
    """A table of labels, by slide or by patient.

    Parameters
    ----------
    file
        CSV or Excel.
    names
        Of its columns.
    slide_column, patient_column
        The rows are found by the slide, or where that is None, by the patient.
    rows
        By slide or patient, in lower case.
    """

    file: Path
    names: tuple[str, ...]
    slide_column: str | None
    patient_column: str | None
    rows: Mapping[str, Sequence[Mapping[str, str]]]

    @classmethod
    def read(cls, file: Path, slide_column: str | None, patient_column: str | None) -> Self:
        """Read a table.

        Raises
        ------
        CohortError
            It cannot be read, or has neither a column of slides nor one of patients.
        """
        columns = read_columns(file, CohortError)
        if not any(map(any, columns.values())):
            raise CohortError("the table holds no label", where=file)
        slide = find_column(columns, slide_column, SLIDE_NAMES)
        patient = find_column(columns, patient_column, PATIENT_NAMES)
        for wanted in (slide, patient):
            if wanted is not None and wanted not in columns:
                raise CohortError(f"the table has no column {wanted!r}; it has {', '.join(columns)}", where=file)
        if slide is None and patient is None:
            raise CohortError(
                f"which column names the slide or the patient is not clear; the columns are {', '.join(columns)}",
                where=file,
                remedy="Name one with --slide-column or --patient-column.",
            )
        rows: dict[str, list[Mapping[str, str]]] = {}
        for k, cell in enumerate(columns[slide or patient or ""]):
            if cell:
                key = slide_stem(cell) if slide else cell
                rows.setdefault(key.lower(), []).append({name: values[k] for name, values in columns.items()})
        return cls(file, tuple(columns), slide, patient, rows)

    def key_of(self, image: ProjectImage) -> str | None:
        """Key of the rows of an image; None if the table has none."""
        if self.slide_column is not None:
            keys = [slide_stem(name).lower() for name in (image.filename, image.name)]
        else:
            keys = [(image.patient(self.patient_column, self.rows) or "").lower()]
        return next((key for key in keys if key in self.rows), None)
