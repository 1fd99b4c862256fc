"""The report of a run: one HTML file that needs nothing beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from her2qp.errors import ProjectAccessError
from her2qp.provenance import her2qp_version, now
from her2qp.report.pictures import attention_picture, data_uri, regions_picture, tile_pictures
from her2qp.scoring.result import ImageOutcome, ImageScore, Status, spell_cores
from her2qp.scoring.vocabulary import RESEARCH_USE, TILE_CLASSES

if TYPE_CHECKING:
    from her2qp.scoring.image import TilePlan
    from her2qp.scoring.run import RunResult

_OVERVIEW_PX = 900
_TILE_PX = 160
_TILES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class TilePicture:
    """One tile as the report shows it."""

    uri: str
    attention: float
    predicted: str


class Report:
    """Collects the pictures of a run while its slides are open, and writes the page at the end.

    Parameters
    ----------
    path
        The HTML file to write.

    Raises
    ------
    ProjectAccessError
        `path` does not name an HTML file, or its folder does not exist or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sections: dict[int, dict[str, Any]] = {}
        if path.suffix.lower() not in (".html", ".htm"):
            raise ProjectAccessError("a report is a page, and its name ends in .html", where=path)
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
            raise ProjectAccessError(
                "the report cannot be written there",
                where=path,
                remedy="Name a file in a folder that exists and is writable.",
            )

    def add_image(self, outcome: ImageOutcome, plan: TilePlan) -> None:
        """Draw the pictures of a scored image.

        Parameters
        ----------
        outcome
            With a score.
        plan
            Of the same image, with its slide still open.
        """
        score = outcome.score
        if score is None:
            return
        overview = plan.slide.overview(_OVERVIEW_PX)
        downsample = max(plan.slide.size) / max(overview.shape[:2])
        rank = score.attention_rank
        order = np.argsort(-score.attention, kind="stable")
        shown = min(_TILES_SHOWN, len(order))
        self._sections[outcome.id] = {
            "regions_uri": data_uri(regions_picture(overview, downsample, (r.geometry for r in plan.regions))),
            "attention_uri": data_uri(attention_picture(overview, downsample, plan.tiles.bounds, rank)),
            "highest": _tiles(plan, score, rank, order[:shown]),
            "lowest": _tiles(plan, score, rank, order[::-1][:shown]),
            "mpp": plan.mpp,
        }

    def write(self, result: RunResult) -> None:
        """Write the page, all at once.

        Raises
        ------
        ProjectAccessError
            It cannot be written.
        """
        environment = Environment(
            loader=PackageLoader("her2qp.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        environment.filters["spell_cores"] = spell_cores
        page = environment.get_template("page.html").render(
            result=result,
            sections=self._sections,
            classes=result.scheme.classes,
            colours={name: _css(path_class.color or 0) for name, path_class in TILE_CLASSES.items()},
            research_use=RESEARCH_USE,
            version=her2qp_version(),
            written=now().strftime("%Y-%m-%d %H:%M UTC"),
            scored=sum(outcome.status is Status.SCORED for outcome in result.outcomes),
        )
        beside = self.path.with_name(self.path.name + ".tmp")
        try:
            beside.write_text(page, encoding="utf-8", errors="backslashreplace")
            beside.replace(self.path)
        except OSError as error:
            raise ProjectAccessError(f"the report cannot be written ({error.strerror})", where=self.path) from error


def _css(color: int) -> str:
    return f"#{color & 0xFFFFFF:06x}"


def _tiles(plan: TilePlan, score: ImageScore, rank: Any, rows: Any) -> list[TilePicture]:
    predicted = score.tile_probabilities.argmax(axis=1)
    pictures = tile_pictures(plan.slide, plan.tiles.bounds, rows, _TILE_PX)
    return [
        TilePicture(data_uri(picture), float(rank[row]), score.scheme.classes[int(predicted[row])])
        for picture, row in zip(pictures, rows, strict=True)
    ]
