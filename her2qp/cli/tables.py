"""Results as tables on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from her2qp.cli.console import Console, table_console
from her2qp.scoring.result import ImageOutcome, Status, spell_cores
from her2qp.scoring.vocabulary import RESEARCH_USE

if TYPE_CHECKING:
    from her2qp.diagnosis import Finding
    from her2qp.qupath.objects import PathObject
    from her2qp.scoring.clear import Cleared
    from her2qp.scoring.run import RunResult


def print_run(result: RunResult) -> None:
    """Print one row an image and one a region."""
    classes = result.scheme.classes
    table = Table(title=f"Run {result.run}, store: {result.backend}, model: {result.model}", title_justify="left")
    for heading in ("image", "status", "tiles", *(f"p({name})" for name in classes), "predicted", "group"):
        table.add_column(heading, justify="right" if heading == "tiles" or heading.startswith("p(") else "left")
    for outcome in result.outcomes:
        _add_rows(table, outcome)
    console = table_console()
    console.print(table)
    for outcome in result.outcomes:
        if outcome.status is not Status.SCORED:
            console.print(f"{outcome.status} {outcome.name}: {outcome.reason}", markup=False, highlight=False)
    if any(outcome.status is Status.SCORED for outcome in result.outcomes):
        blind = 1 / len(classes)
        console.print(f"Baseline: a model that knows nothing gives every class {blind:.2f}.", highlight=False)
    elif result.record is not None:
        console.print("No image could be scored.", style="bold")
    console.print(f"{result.notice} {RESEARCH_USE}".strip(), style="yellow", highlight=False, markup=False)


def _add_rows(table: Table, outcome: ImageOutcome) -> None:
    score = outcome.score
    cells: list[str] = []
    if score is not None and score.by_class is None:
        cells = [str(len(score.tiles)), *[""] * len(score.scheme.classes), spell_cores(score.cores_by_class)]
    elif score is not None:
        cells = [str(len(score.tiles)), *_spell(score.by_class), score.predicted or "", score.group or ""]
    table.add_row(escape(outcome.name), str(outcome.status), *cells)
    regions = () if score is None else score.regions
    for region in regions:
        core, shown = region.region.core, [str(region.tiles), *_spell(region.by_class)]
        if core is not None:
            table.add_row(_spell_core(core), "", *shown, region.predicted, style="dim")
        elif len(regions) > 1:
            table.add_row(f"  region {str(region.region.annotation_id)[:8]}", "", *shown, style="dim")
    for left in outcome.left_out:
        table.add_row(_spell_core(left.core), escape(left.reason), style="dim")


def _spell(probabilities: Mapping[str, float] | None) -> list[str]:
    return [f"{p:.2f}" for p in (probabilities or {}).values()]


def _spell_core(core: PathObject) -> str:
    return escape(f"  core {core.name or str(core.id)[:8]} {core.case_id or ''}".rstrip())


def print_inspection(document: dict[str, Any]) -> None:
    """Print one row an image and its problems."""
    version = document["qupath_version"] or "unknown version"
    table = Table(title=f"{escape(document['project'])} (QuPath {version})", title_justify="left")
    for heading in ("id", "image", "slide", "size", "µm/px", "type", "annotations", "detections", "her2qp"):
        table.add_column(heading)
    for image in document["images"]:
        annotations = ", ".join(f"{name} {count}" for name, count in image["annotations"].items())
        if cores := image.get("tma_cores"):
            annotations += f"{', ' if annotations else ''}TMA cores {cores['present']} ({cores['missing']} missing)"
        mine = image["her2qp"]
        run = "" if mine is None or mine["run"] is None else f"run {mine['run']}, "
        table.add_row(
            str(image["id"]),
            escape(image["name"]),
            "found" if image["found"] else "[red]missing[/]",
            f"{image['width']}×{image['height']}" if image["width"] else "",
            "×".join(f"{value:.4g}" for value in image["mpp"] if value) if image["mpp"] else "",
            image["image_type"] or "",
            escape(annotations),
            str(image["detections"]),
            "" if mine is None else f"{run}{mine['tiles']} tiles",
        )
    console = table_console(160)
    console.print(table)
    for image in document["images"]:
        for problem in image["problems"]:
            console.print(f"{image['name']}: {problem}", style="yellow", markup=False, highlight=False)


def print_cleared(outcomes: Sequence[Cleared]) -> None:
    """Print what was taken out of each image."""
    console = Console()
    for outcome in outcomes:
        if outcome.error:
            text = f"{outcome.name}: failed: {outcome.error}"
        elif outcome.is_change:
            text = (
                f"{outcome.name}: removed {outcome.tiles} tiles, the HER2 measurements of {outcome.annotations} "
                f"annotations or cores, and {outcome.metadata} metadata values"
            )
        else:
            text = f"{outcome.name}: holds nothing of her2qp's"
        console.print(text, markup=False, highlight=False)


def print_findings(findings: Sequence[Finding], *, wanting: str = "missing") -> None:
    """Print what the doctor found, with the word `wanting` at what needs the user."""
    table = Table(show_header=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else f"[yellow]{wanting}[/]"
        remedy = f"\n{finding.remedy}" if finding.remedy else ""
        table.add_row(escape(finding.subject), mark, escape(finding.detail + remedy))
    table_console().print(table)
