"""The images of QuPath projects that the rows of a cohort name."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from her2qp.cohort.table import CohortRow
from her2qp.qupath import open_project
from her2qp.qupath.imageentry import ImageEntry
from her2qp.qupath.project import Project


class CohortImages:
    """Opens each project of a cohort once, for reading, and closes all at the end of the ``with``."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._projects: dict[Path, Project] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def find(self, row: CohortRow) -> ImageEntry | None:
        """The image that shows a slide; None if the row names none.

        Raises
        ------
        ProjectError
            The project cannot be opened.
        ImageNotFoundError
            It has no such image.
        """
        if row.project is None or row.image is None:
            return None
        if row.project not in self._projects:
            self._projects[row.project] = self._opened.enter_context(open_project(row.project, "r", "native"))
        project = self._projects[row.project]
        named = [entry for entry in project.images if entry.name == row.image]
        with_id = [entry for entry in project.images if str(entry.id) == row.image]
        return with_id[0] if len(named) != 1 and with_id else project.image(row.image)
