"""Join the images of QuPath projects with their HER2 labels to a cohort, and account for everything left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from her2qp.cohort.joined import Joined, LeftOut, Why
from her2qp.cohort.joinsettings import JoinSettings
from her2qp.cohort.labels import class_of, refuse_bare_flags
from her2qp.cohort.patients import tcga_site
from her2qp.cohort.records import SITE_NAMES, LabelTable, ProjectImage, find_column, project_images
from her2qp.cohort.table import FIXED_COLUMNS, Cohort, CohortRow
from her2qp.errors import CohortError
from her2qp.scoring.vocabulary import METADATA_KEYS


def join_cohort(projects: Sequence[Path], labels: Path | None, settings: JoinSettings) -> Joined:
    """Join images with labels.

    Parameters
    ----------
    projects
        ``.qpproj`` files or their folders.
    labels
        CSV or Excel; None takes the labels from the images' metadata.
    settings
        How labels are found and read.

    Raises
    ------
    CohortError
        The labels cannot be read or lack a column, no image has one, a slide has two, or all have the same.
    ProjectError
        A project cannot be opened.
    """
    images = [image for path in dict.fromkeys(projects) for image in project_images(path)]
    if not images:
        raise CohortError("the projects hold no image", where=", ".join(map(str, projects)))
    table = None if labels is None else LabelTable.read(labels, settings.slide_column, settings.patient_column)
    return _Join(images, table, settings).result()


class _Join:
    """One join under way: images go in one by one, and come out as rows or as left out."""

    def __init__(self, images: Sequence[ProjectImage], table: LabelTable | None, settings: JoinSettings) -> None:
        self.images, self.table, self.settings = images, table, settings
        self.site_column = self._find_site_column()
        self.rows: dict[str, CohortRow] = {}
        self.left_out: list[LeftOut] = []
        self.used: dict[str, set[str]] = {}
        self.nameless = 0

    def result(self) -> Joined:
        self._require_columns()
        self._refuse_flags()
        for image in self.images:
            self._take(image)
        if not self.rows:
            raise CohortError("no image has a label that can be used: " + self._why_none())
        table_rows = {} if self.table is None else self.table.rows
        unmatched = tuple(key for key in table_rows if key not in self.used)
        rows = _distinct_names([*self.rows.values()])
        cohort = Cohort(tuple(rows), self.settings.scheme.classes, self.settings.label_column)
        return Joined(cohort, tuple(self.left_out), unmatched, tuple(self._notes(cohort)))

    def _find_site_column(self) -> str | None:
        """Column of the site: the one asked for, or one with a usual name in the table, or in the metadata."""
        in_table = find_column(self.table.names if self.table else (), self.settings.site_column, SITE_NAMES)
        keys = dict.fromkeys(key for image in self.images for key in image.metadata)
        return in_table or find_column(keys, None, SITE_NAMES)

    def _require_columns(self) -> None:
        """Refuse the name of a column that neither the table nor any image has."""
        s = self.settings
        known = {*(self.table.names if self.table else ()), *(key for image in self.images for key in image.metadata)}
        wanted = [s.label_column, s.site_column, s.ish_column, *s.conditions()]
        wanted += [] if self.table else [s.patient_column, s.slide_column]
        for name in wanted:
            if name is not None and name not in known:
                place = (
                    "neither the table of labels nor the metadata of any image" if self.table else "no image's metadata"
                )
                raise CohortError(
                    f"{place} has {name!r}; there is {', '.join(sorted(known)) or 'nothing'}",
                    where=None if self.table is None else self.table.file,
                    remedy=None if self.table else "Name another column, or give a table with --labels.",
                )

    def _refuse_flags(self) -> None:
        column = self.settings.label_column
        records = [r for rows in self.table.rows.values() for r in rows] if self.table else []
        refuse_bare_flags([r.get(column, "") for r in [*records, *(image.metadata for image in self.images)]])

    def _take(self, image: ProjectImage) -> None:
        if image.unfit:
            self._leave_out(image, Why.DAMAGED if image.is_damaged else Why.NOT_HE, image.unfit)
            return
        records = self._records(image)
        if not records:
            self._leave_out(image, Why.NO_LABEL, "there is no label for it")
            return
        for column, allowed in self.settings.conditions().items():
            asked_for = [record for record in records if record.get(column, "").lower() in allowed]
            if not asked_for:
                self._leave_out(image, Why.NOT_ASKED_FOR, f"{column} is {records[0].get(column, '')!r}")
                return
            records = asked_for
        try:
            classes = self._classes(records)
        except CohortError as error:
            self._leave_out(image, Why.UNREADABLE_LABEL, error.what)
            return
        if len(classes) > 1:
            raise CohortError(
                f"the table gives image {image.name!r} two labels, {classes[0]} and {classes[1]}",
                where=None if self.table is None else self.table.file,
                remedy="Keep the true one, or name the column of the slide with --slide-column.",
            )
        if not classes:
            self._leave_out(image, Why.NO_LABEL, "its result is missing")
        elif image.slide in self.rows:
            self._repeat(image, classes[0])
        else:
            self.rows[image.slide] = self._row(image, records[0], classes[0])

    def _records(self, image: ProjectImage) -> list[Mapping[str, str]]:
        """What is known of an image; several where the table has several rows for it."""
        if self.table is None:
            return [image.metadata]
        key = self.table.key_of(image)
        if key is None:
            return []
        self.used.setdefault(key, set()).add(image.slide)
        return [{**image.metadata, **row} for row in self.table.rows[key]]

    def _classes(self, records: Sequence[Mapping[str, str]]) -> list[str]:
        """Different classes that the records give; none where all results are missing."""
        s = self.settings
        found = [class_of(r.get(s.label_column, ""), s.scheme, r.get(s.ish_column or "", "")) for r in records]
        return [name for name in dict.fromkeys(found) if name is not None]

    def _repeat(self, image: ProjectImage, label: str) -> None:
        known = self.rows[image.slide]
        if known.label != label:
            raise CohortError(
                f"the slide {image.filename} has two labels: {known.label} as image {known.image!r} and {label} "
                f"as image {image.image!r}",
                where=image.project,
            )
        self._leave_out(image, Why.REPEATED, f"image {known.image!r} shows the same slide {image.filename}")

    def _row(self, image: ProjectImage, record: Mapping[str, str], label: str) -> CohortRow:
        s, patients = self.settings, self.table.rows if self.table and not self.table.slide_column else {}
        column = self.table.patient_column if self.table else image.patient_key(s.patient_column)
        patient = record.get(column or "") or image.patient(s.patient_column, patients)
        self.nameless += patient is None
        patient = patient or image.filename
        site = record.get(self.site_column or "")
        if not site and s.site_column is None:
            site = tcga_site(patient) or tcga_site(image.filename)
        named = {
            column,
            s.slide_column if self.table is None else self.table.slide_column,
            s.label_column,
            self.site_column,
            *FIXED_COLUMNS,
            *METADATA_KEYS,
        }
        columns = self.table.names if self.table else tuple(image.metadata)
        return CohortRow(
            patient=patient,
            filename=image.filename,
            label=label,
            site=site or None,
            project=image.project,
            image=image.image,
            covariates={name: record[name] for name in columns if name not in named},
        )

    def _leave_out(self, image: ProjectImage, why: Why, reason: str) -> None:
        self.left_out.append(LeftOut(image.project, image.name, why, reason))

    def _why_none(self) -> str:
        if self.table is not None and not self.used:
            names = ", ".join(image.filename for image in self.images[:3])
            kind = "slides" if self.table.slide_column else "patients"
            return f"the images are of slides like {names}, and the {kind} of {self.table.file} are like " + ", ".join(
                [*self.table.rows][:3]
            )
        first = self.left_out[0]
        return f"{first.image}: {first.reason}"

    def _notes(self, cohort: Cohort) -> list[str]:
        notes = []
        if self.nameless:
            notes.append(f"The patient of {self.nameless} slides is not known: each counts as a patient of its own.")
        if self.settings.site_column is None and self.site_column and cohort.sites is not None:
            notes.append(f"The site of a slide is its {self.site_column!r}.")
        if cohort.sites is None:
            notes.append("The site is not known of every slide: whether a model reads the site cannot be said.")
        shared = [key for key, slides in self.used.items() if len(slides) > 1]
        if self.table is not None and self.table.slide_column is not None and shared:
            notes.append(f"Different slides have one name, and with it one label: {', '.join(shared[:5])}.")
        labels: dict[str, set[str]] = {}
        for row in cohort.rows:
            labels.setdefault(row.patient, set()).add(row.label)
        mixed = [patient for patient, given in labels.items() if len(given) > 1]
        if mixed:
            notes.append(f"{len(mixed)} patients have slides of different classes: {', '.join(mixed[:5])}.")
        return notes


def _distinct_names(rows: Sequence[CohortRow]) -> list[CohortRow]:
    """Name slides that share a file name after image and project folder, by as few folders as tell them apart."""
    shared = {name for name, count in Counter(row.filename for row in rows).items() if count > 1}
    clashing = [row for row in rows if row.filename in shared]
    deepest = max((len(_folders(row)) for row in clashing), default=0)
    depths = (depth for depth in range(1, deepest) if len({_long_name(r, depth) for r in clashing}) == len(clashing))
    depth = next(depths, deepest)
    return [replace(row, filename=_long_name(row, depth)) if row.filename in shared else row for row in rows]


def _long_name(row: CohortRow, depth: int) -> str:
    return "/".join([*_folders(row)[-depth:], row.image or row.filename])


def _folders(row: CohortRow) -> tuple[str, ...]:
    return () if row.project is None else row.project.parent.parts
