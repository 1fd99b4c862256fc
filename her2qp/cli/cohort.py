"""The verbs that lead from projects and labels to something a model can learn from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from her2qp import api
from her2qp.cli.console import say
from her2qp.cli.guard import guarded, print_json
from her2qp.cli.options import (
    ClassesOption,
    ExcludeOption,
    ImagesOption,
    JsonOption,
    MppOption,
    ProjectsArgument,
    WholeTissueOption,
)
from her2qp.scheme import Scheme

if TYPE_CHECKING:
    from her2qp.cohort.joined import Joined


def cohort(
    projects: ProjectsArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The table to write, CSV.")],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV or Excel; without it, labels come from the images' metadata."),
    ] = None,
    label_column: Annotated[str, typer.Option(metavar="NAME", help="Column of the HER2 result.")] = "HER2",
    patient_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the patient, if not PATIENT, Case ID or so.")
    ] = None,
    slide_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the slide file, if not FILENAME, slide_id or so.")
    ] = None,
    site_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of the site, if not SITE, Hospital or so, nor in TCGA barcodes."),
    ] = None,
    ish_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the ISH result, which decides a 2+.")
    ] = None,
    scheme: Annotated[
        Scheme, typer.Option(help="0, 1+, 2+, 3+; or 0, low, positive; or negative, positive.")
    ] = Scheme.GRADES,
    where: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=VALUE", help="Only slides of which this is so; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Join the images of projects with HER2 labels and write the table that the verbs for training take."""
    with guarded(as_json=as_json):
        joined = api.make_cohort(
            projects,
            out,
            labels=labels,
            label_column=label_column,
            patient_column=patient_column,
            slide_column=slide_column,
            site_column=site_column,
            ish_column=ish_column,
            scheme=scheme,
            where=where or (),
        )
        if as_json:
            print_json({**joined.to_json(), "table": str(out)})
        else:
            _print_joined(joined, out)
        raise typer.Exit(joined.exit_code)


def features(
    projects: ProjectsArgument,
    extractor: Annotated[
        str | None, typer.Option(metavar="ID", help="Extractor by name, or a TorchScript file; `doctor` lists them.")
    ] = None,
    classes: ClassesOption = None,
    exclude: ExcludeOption = None,
    whole_tissue: WholeTissueOption = False,
    tma: Annotated[bool, typer.Option("--tma", help="Tiles of each TMA core.")] = False,
    image: ImagesOption = None,
    mpp: MppOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute the features of the tumour regions ahead of `score` and training; goes on where it was stopped."""
    from her2qp.cli.progress import ProgressMonitor

    chosen = {"classes": classes, "exclude": exclude, "images": image}
    with guarded(as_json=as_json):
        with ProgressMonitor() as monitor:
            run = api.fill_features(
                projects,
                monitor=monitor,
                extractor=extractor,
                whole_tissue=whole_tissue,
                tma=tma,
                mpp=mpp,
                **{name: value for name, value in chosen.items() if value},
            )
        if as_json:
            print_json(run.to_json())
        else:
            done = [outcome for _, outcome in run.outcomes if outcome.planned]
            tiles, computed = sum(o.planned for o in done), sum(o.added for o in done)
            say(f"{tiles} tiles of {len(done)} images, {computed} of them computed now -> {run.store}")
        raise typer.Exit(run.exit_code)


def _print_joined(joined: Joined, out: Path) -> None:
    """Print what is in the cohort on stdout, and what is not on stderr."""
    document = joined.to_json()
    counts = ", ".join(f"{name}: {count}" for name, count in document["counts"].items())
    sites = "" if document["sites"] is None else f" from {document['sites']} sites"
    say(f"{document['slides']} slides of {document['patients']} patients{sites} ({counts}) -> {out}")
    for left_out in joined.left_out:
        say(f"left out {left_out.image}: {left_out.reason}", err=True)
    if joined.unmatched:
        shown, more = ", ".join(joined.unmatched[:10]), len(joined.unmatched) - 10
        also = f" and {more} more" if more > 0 else ""
        say(f"{len(joined.unmatched)} labels match no image: {shown}{also}", err=True)
    for note in joined.notes:
        say(f"note: {note}", err=True)
