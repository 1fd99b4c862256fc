"""The verbs as Python calls. Each opens a project, does one thing and closes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from her2qp.cohort.extraction import FeatureRun
    from her2qp.cohort.joined import Joined
    from her2qp.demonstration import Demonstration
    from her2qp.diagnosis import Finding
    from her2qp.exchange import Exchanged
    from her2qp.qupath.transaction import Restored
    from her2qp.scoring.clear import Cleared
    from her2qp.scoring.monitor import Monitor
    from her2qp.scoring.run import RunResult

Backend = Literal["auto", "paquo", "native"]


def score(
    project: str | Path,
    *,
    report: str | Path | None = None,
    monitor: Monitor | None = None,
    **settings: Any,
) -> RunResult:
    """Score the annotated tumour regions of a project and write the result back.

    Parameters
    ----------
    project
        A ``.qpproj`` file or its folder.
    report
        Where to write an HTML report; None writes none.
    monitor
        Is told what happens, for progress bars.
    **settings
        See :class:`her2qp.scoring.settings.ScoreSettings`: `model`, `classes`, `exclude`, `whole_tissue`, `tma`,
        `cells`, `images`, `backend`, `mpp`, `dry_run` and so on.

    Returns
    -------
    RunResult
        With one outcome an image; a failed image does not raise.

    Raises
    ------
    ProjectError
        The project is missing, not a project, locked or cannot be written.
    ImageNotFoundError, RegionError
        Nothing is there that was asked for.
    ModelError, ExtractorError
        The model or its extractor cannot be used.

    Examples
    --------
    >>> import her2qp
    >>> result = her2qp.score("project.qpproj", classes=["Tumor"], report="report.html")  # doctest: +SKIP
    >>> [(o.name, o.score.predicted) for o in result.outcomes if o.score]  # doctest: +SKIP
    """
    from her2qp.qupath import open_project
    from her2qp.report.html import Report
    from her2qp.scoring.run import ScoringRun
    from her2qp.scoring.settings import ScoreSettings

    chosen = ScoreSettings(**settings)
    page = None if report is None else Report(Path(report))
    with open_project(project, mode="r" if chosen.dry_run else "r+", backend=chosen.backend) as opened:
        run = ScoringRun(opened, chosen, monitor, on_scored=None if page is None else page.add_image)
        result = run.execute()
    if page is not None:
        page.write(result)
    return result


def inspect(project: str | Path, *, backend: Backend = "auto") -> dict[str, Any]:
    """Describe a project: images, pixel sizes, annotations by class, earlier results, problems.

    Parameters
    ----------
    project
        A ``.qpproj`` file or its folder.
    backend
        Which store a run would use; `inspect` itself never starts a Java virtual machine.

    Returns
    -------
    dict
        The ``inspect --json`` document.

    Raises
    ------
    ProjectError
        The project is missing or not a project.
    """
    from her2qp.qupath import open_project
    from her2qp.qupath.backends import choose_backend
    from her2qp.scoring.inspection import inspect_project

    with open_project(project, mode="r", backend="native") as opened:
        return {**inspect_project(opened), "backend": choose_backend(backend, opened.qupath_version)}


def clear(
    project: str | Path, *, images: Sequence[str] = (), backend: Backend = "auto", wait_s: float = 0.0
) -> list[Cleared]:
    """Remove exactly what her2qp wrote.

    Parameters
    ----------
    project
        A ``.qpproj`` file or its folder.
    images
        Glob patterns of image names; all images without one.
    backend
        Whose code rewrites the images' data.
    wait_s
        How long to wait for another run that works on the same image, in seconds.

    Raises
    ------
    ProjectError
        The project is missing, not a project, locked or cannot be written.
    """
    from her2qp.qupath import open_project
    from her2qp.scoring.clear import clear_project

    with open_project(project, mode="r+", backend=backend) as opened:
        return clear_project(opened, images, wait_s=wait_s)


def undo(project: str | Path, *, run: str | None = None) -> Restored:
    """Put back the state before a run, byte for byte; what others did to other images since stays.

    Parameters
    ----------
    project
        A ``.qpproj`` file or its folder.
    run
        Number or id of the run; None is the last.

    Raises
    ------
    RunError
        There is no such run to undo.
    ProjectChangedError
        Somebody saved one of its images since the run; undoing it would lose that work. Nothing is changed.
    ProjectLockedError
        The run goes on, or another works on one of its images.
    """
    from her2qp.scoring.undo import undo_run

    return undo_run(Path(project), run)


def export_objects(
    project: str | Path, out: str | Path, *, format: Literal["geojson", "csv"] = "geojson", images: Sequence[str] = ()
) -> Exchanged:
    """Write the objects of a project's images to files that QuPath, or a spreadsheet, can read.

    Parameters
    ----------
    project
        A ``.qpproj`` file or its folder.
    out
        A file if the project has one chosen image, else a folder, which gets one file an image. A name that ends in
        ``.gz`` is compressed.
    format
        ``geojson`` in the form that every QuPath since 0.3 reads, or ``csv`` with one row an object.
    images
        Glob patterns of image names; all images without one.
    """
    from her2qp.exchange import export_project

    return export_project(Path(project), Path(out), format, images)


def import_objects(
    project: str | Path, file: str | Path, *, image: str, backend: Backend = "auto", wait_s: float = 0.0
) -> int:
    """Add the objects of a GeoJSON file to an image; what is there already stays.

    A result that a run of her2qp kept aside in the project replaces the image's earlier one, as that run would have.

    Parameters
    ----------
    project
        A ``.qpproj`` file or its folder.
    file
        GeoJSON, plain or gzipped.
    image
        Name of the image.
    backend
        Whose code rewrites the image's data.
    wait_s
        How long to wait for a run that works on the same image, in seconds.

    Returns
    -------
    int
        Number of objects added. An object whose id the image already has is not added again.

    Raises
    ------
    GeoJSONError
        The file is not GeoJSON of the kind QuPath exchanges; nothing is added.
    ImageNotFoundError
        No image, or more than one, has that name.
    """
    from her2qp.exchange import import_file

    return import_file(Path(project), Path(file), image, backend, wait_s)


def fill_features(projects: Sequence[str | Path], *, monitor: Monitor | None = None, **settings: Any) -> FeatureRun:
    """Compute the features of the tumour regions of projects ahead of scoring or training; resumes where it stopped.

    Parameters
    ----------
    projects
        ``.qpproj`` files or their folders. They are only read.
    monitor
        Is told what happens, for progress bars.
    **settings
        See :class:`her2qp.scoring.settings.TileSettings`: `classes`, `exclude`, `whole_tissue`, `tma`, `images`,
        `mpp`, `extractor` and so on, as for :func:`score`.

    Returns
    -------
    FeatureRun
        With one outcome an image; a failed image does not raise.

    Raises
    ------
    ProjectError
        A project is missing or not a project.
    ImageNotFoundError, RegionError
        Nothing is there that was asked for.
    ExtractorError
        The extractor cannot be used.
    """
    from her2qp.cohort.extraction import extract_projects
    from her2qp.scoring.settings import TileSettings

    return extract_projects([*map(Path, projects)], TileSettings(**settings), monitor)


def make_cohort(
    projects: Sequence[str | Path], out: str | Path, *, labels: str | Path | None = None, **settings: Any
) -> Joined:
    """Join the images of projects with HER2 labels, and write them as a table for training.

    Parameters
    ----------
    projects
        ``.qpproj`` files or their folders.
    out
        The table to write, STAMP-style CSV; :meth:`her2qp.cohort.Cohort.read` reads it back.
    labels
        CSV or Excel, by slide or by patient; None takes the labels from the images' metadata.
    **settings
        See :class:`her2qp.cohort.joinsettings.JoinSettings`: `label_column`, `patient_column`, `slide_column`,
        `site_column`, `ish_column`, `scheme` (``grades``, ``low`` or ``status``) and `where`.

    Returns
    -------
    Joined
        The cohort, and every image and label that is not in it with the reason.

    Raises
    ------
    CohortError
        The labels cannot be read or lack a column, no image has one, a slide has two, or all have the same.
    ProjectError
        A project cannot be opened.

    Examples
    --------
    >>> import her2qp
    >>> joined = her2qp.make_cohort(["project.qpproj"], "cohort.csv", labels="ihc.xlsx")  # doctest: +SKIP
    >>> joined.cohort.classes, [out.reason for out in joined.left_out]  # doctest: +SKIP
    """
    from her2qp.cohort.join import join_cohort
    from her2qp.cohort.joinsettings import JoinSettings
    from her2qp.cohort.table import check_output

    check_output(Path(out), None if labels is None else Path(labels))
    joined = join_cohort([*map(Path, projects)], None if labels is None else Path(labels), JoinSettings(**settings))
    joined.cohort.write(out)
    return joined


def doctor(project: str | Path | None = None, *, repair: bool = False) -> list[Finding]:
    """Say what of her2qp's surroundings is there, or what is wrong with a project on disk.

    Parameters
    ----------
    project
        A ``.qpproj`` file or its folder. None looks at the surroundings instead, and at no project.
    repair
        Put right what a crash left in the project. Nothing is lost: a file that is replaced is kept beside the new one.

    Returns
    -------
    list of Finding
        What is not `ok` needs the user, who is told in its `remedy` what to do.

    Raises
    ------
    ProjectNotFoundError
        There is no project, nor what a crash leaves of one.
    ProjectLockedError
        Another process works on the project that is to be repaired.
    ProjectAccessError
        The project cannot be read, or not be written for a repair.
    """
    if project is None:
        from her2qp.diagnosis import diagnose

        return diagnose()
    from her2qp.repair import examine_project

    return examine_project(Path(project), repair=repair)


def demo(out: str | Path = "demo", *, monitor: Monitor | None = None) -> Demonstration:
    """Build an example project, score it and write a report.

    Parameters
    ----------
    out
        Folder to make. What is there already is kept and only scored anew.
    monitor
        Is told what happens, for progress bars.
    """
    from her2qp.demonstration import run_demonstration

    return run_demonstration(Path(out), monitor)
