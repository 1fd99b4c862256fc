"""The verbs of the command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from her2qp import api
from her2qp.cli.cohort import cohort, features
from her2qp.cli.console import say
from her2qp.cli.guard import guarded, print_json
from her2qp.cli.options import (
    Backend,
    BackendOption,
    ClassesOption,
    ExcludeOption,
    ImagesOption,
    JsonOption,
    MppOption,
    ProjectArgument,
    WaitOption,
    WholeTissueOption,
)
from her2qp.cli.training import compare, crossval, evaluate, train

app = typer.Typer(
    name="her2qp",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Score the annotated tumour regions of QuPath projects for HER2 from H&E. Research use only.",
    epilog="Exit codes: 0 all done; 1 some image failed, the others are done and saved; 2 the input cannot be used.",
)


class ExportFormat(StrEnum):
    """File formats of ``export``."""

    GEOJSON = "geojson"
    CSV = "csv"


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        from her2qp.provenance import her2qp_version

        say(f"her2qp {her2qp_version()}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the example project.")] = Path("demo"),
) -> None:
    """Build an example project of one real and two artificial slides, score it, and write a report."""
    from her2qp.cli.progress import ProgressMonitor
    from her2qp.cli.tables import print_run

    with guarded():
        with ProgressMonitor() as monitor:
            made = api.demo(out, monitor=monitor)
        print_run(made.result)
        say(f"Project: {made.project}\nReport:  {made.report}")
        raise typer.Exit(made.result.exit_code)


@app.command()
def doctor(
    project: Annotated[
        Path | None, typer.Argument(metavar="[PROJECT]", help="A project to look for what a crash left in it.")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Put the project right; no file is lost by it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what is installed and how to get what is missing; with PROJECT, what a crash left there, and repair it."""
    with guarded(as_json=as_json):
        if repair and project is None:
            raise typer.BadParameter("--repair needs a PROJECT")
        findings = api.doctor(project, repair=repair)
        if as_json:
            print_json([finding.to_json() for finding in findings])
        else:
            from her2qp.cli.tables import print_findings

            print_findings(findings, wanting="missing" if project is None else "look")
        if project is not None and not all(finding.ok for finding in findings):
            raise typer.Exit(1)


@app.command()
def inspect(project: ProjectArgument, as_json: JsonOption = False, backend: BackendOption = Backend.AUTO) -> None:
    """List the images: pixel size, slide file, annotations by class, earlier results, problems."""
    with guarded(as_json=as_json):
        document = api.inspect(project, backend=backend.value)
        if as_json:
            print_json(document)
        else:
            from her2qp.cli.tables import print_inspection

            print_inspection(document)


@app.command()
def score(
    project: ProjectArgument,
    model: Annotated[Path | None, typer.Option(metavar="BUNDLE", help="Model bundle: a folder or zip.")] = None,
    classes: ClassesOption = None,
    exclude: ExcludeOption = None,
    whole_tissue: WholeTissueOption = False,
    tma: Annotated[
        bool, typer.Option("--tma", help="Score each TMA core by itself; missing ones are skipped.")
    ] = False,
    cells: Annotated[bool, typer.Option("--cells", help="Give each tile the number of cells in it by class.")] = False,
    image: ImagesOption = None,
    backend: BackendOption = Backend.AUTO,
    mpp: MppOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    as_json: JsonOption = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write an HTML report.")] = None,
    wait: WaitOption = 0.0,
) -> None:
    """Score the annotated tumour regions and write tiles, measurements and metadata back. Research use only."""
    from her2qp.cli.progress import ProgressMonitor

    chosen = {"classes": classes, "exclude": exclude, "images": image}
    with guarded(as_json=as_json):
        with ProgressMonitor() as monitor:
            result = api.score(
                project,
                report=report,
                monitor=monitor,
                model=model,
                whole_tissue=whole_tissue,
                tma=tma,
                cells=cells,
                backend=backend.value,
                mpp=mpp,
                dry_run=dry_run,
                wait_s=wait,
                **{name: value for name, value in chosen.items() if value},
            )
        if as_json:
            print_json(result.to_json())
        else:
            from her2qp.cli.tables import print_run

            print_run(result)
            if report is not None:
                say(f"Report: {report}")
        raise typer.Exit(result.exit_code)


@app.command()
def clear(
    project: ProjectArgument,
    image: ImagesOption = None,
    backend: BackendOption = Backend.AUTO,
    wait: WaitOption = 0.0,
) -> None:
    """Remove exactly what her2qp wrote."""
    from her2qp.cli.tables import print_cleared

    with guarded():
        outcomes = api.clear(project, images=image or (), backend=backend.value, wait_s=wait)
        print_cleared(outcomes)
        raise typer.Exit(1 if any(outcome.error for outcome in outcomes) else 0)


@app.command()
def undo(
    project: ProjectArgument,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Number or id of the run. [default: the last]")] = None,
) -> None:
    """Put back the state before the last run, byte for byte; what others did since stays."""
    with guarded():
        undone = api.undo(project, run=run)
        say(f"Undid {undone.command} run {undone.run}: its changes are gone from {len(undone.files)} files.")


@app.command()
def export(
    project: ProjectArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A file for one image, a folder for several.")],
    format: Annotated[ExportFormat, typer.Option(help="QuPath's GeoJSON or a table.")] = ExportFormat.GEOJSON,
    image: ImagesOption = None,
) -> None:
    """Write the objects of the images to GeoJSON (any QuPath since 0.3 reads it; .gz too) or CSV.

    GeoJSON holds every object that has a shape, but not the probability of its
    class, measurements that are not finite, the transparency of its colour or
    the grid of a TMA. Coordinates are rounded to 0.01 px.
    """
    with guarded():
        exchanged = api.export_objects(project, out, format=format.value, images=image or ())
        for file, count in exchanged.files:
            say(f"{count} object{'s' * (count != 1)} -> {file}")
        for problem in exchanged.problems:
            say(f"her2qp: {problem}", err=True)
        raise typer.Exit(1 if exchanged.problems else 0)


@app.command("import")
def import_(
    project: ProjectArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="GeoJSON, plain or gzipped.")],
    image: Annotated[str, typer.Option("--image", metavar="NAME", help="Name of the image that gets the objects.")],
    backend: BackendOption = Backend.AUTO,
    wait: WaitOption = 0.0,
) -> None:
    """Add the objects of a GeoJSON file to an image; what is there already stays."""
    with guarded():
        count = api.import_objects(project, file, image=image, backend=backend.value, wait_s=wait)
        say(f"Added {count} object{'s' * (count != 1)} to {image}.")


for verb in (cohort, features, train, crossval, evaluate, compare):
    app.command()(verb)
