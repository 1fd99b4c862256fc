"""A scoring run: every chosen image of a project is scored and written back, one after another.

An image that fails is reported and the run goes on; what was written before stays written.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from her2qp.errors import BundleError, Her2qpError, ImageNotFoundError, ProjectError, RegionError
from her2qp.provenance import now, versions
from her2qp.scheme import Scheme
from her2qp.scoring.aside import aside_file, keep_aside
from her2qp.scoring.attempt import attempt
from her2qp.scoring.image import Scorer, TilePlan, plan_tiles
from her2qp.scoring.monitor import Monitor
from her2qp.scoring.records import History, RunId, RunRecords, result_now
from her2qp.scoring.result import ImageOutcome, Status
from her2qp.scoring.settings import ScoreSettings, TileSettings
from her2qp.scoring.vocabulary import RESEARCH_USE, TILE_CLASSES
from her2qp.scoring.writeback import Existing, WriteBack, removal, replacement

if TYPE_CHECKING:
    from her2qp.qupath.imageentry import ImageEntry
from her2qp.qupath.project import Project

ScoredHook = Callable[[ImageOutcome, TilePlan], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What became of a run.

    Parameters
    ----------
    run
        Id of the run.
    model, scheme, notice
        Name and hash of the model, the classes that it tells apart, and what every reader of its results must know.
    backend
        Whose code read and wrote the project.
    outcomes
        One for each chosen image.
    record
        File of the run record; None after a dry run.
    """

    run: str
    model: str
    scheme: Scheme
    notice: str
    backend: str
    outcomes: Sequence[ImageOutcome] = field(default_factory=list)
    record: Path | None = None

    @property
    def exit_code(self) -> int:
        """0: all done; 1: an image failed; 2: there was nothing that could be scored."""
        if any(outcome.status is Status.FAILED for outcome in self.outcomes):
            return 1
        return 0 if any(outcome.is_done for outcome in self.outcomes) else 2

    def to_json(self) -> dict[str, Any]:
        """Return the ``score --json`` document."""
        return {
            "run": self.run,
            "model": self.model,
            "classes": list(self.scheme.classes),
            "backend": self.backend,
            "notice": f"{self.notice} {RESEARCH_USE}".strip(),
            "images": [outcome.to_json() for outcome in self.outcomes],
        }


def choose_images(project: Project, patterns: Sequence[str]) -> list[ImageEntry]:
    """Return the images whose name matches one of the glob patterns; all of them without a pattern.

    Raises
    ------
    ImageNotFoundError
        The project has no image, or none that matches.
    """
    images = list(project.images)
    if not images:
        raise ImageNotFoundError(
            "the project holds no image", where=project.path, remedy="Add images to it in QuPath first."
        )
    chosen = [i for i in images if not patterns or any(fnmatchcase(i.name, pattern) for pattern in patterns)]
    if not chosen:
        raise ImageNotFoundError(
            f"no image is named like {', '.join(map(repr, patterns))}",
            where=project.path,
            remedy="`her2qp inspect` lists the images.",
        )
    return chosen


def require_classes(chosen: Sequence[ImageEntry], settings: TileSettings, *, where: object) -> None:
    """Refuse a class that the user named and no image has; the default class may well be missing.

    Raises
    ------
    RegionError
        No chosen image has an annotation of a class that was asked for.
    """
    from her2qp.qupath.classes import PathClass, matches_any

    if settings.whole_tissue or "classes" not in settings.model_fields_set:
        return
    present: set[PathClass | None] = set()
    for entry in chosen:
        try:
            present.update(annotation.path_class for annotation in entry.annotations)
        except Her2qpError:
            return
    for wanted in settings.wanted_classes():
        if not any(matches_any(path_class, [wanted]) for path_class in present):
            names = ", ".join(sorted("unclassified" if c is None else str(c) for c in present)) or "none at all"
            raise RegionError(
                f"no annotation has the class {'unclassified' if wanted is None else str(wanted)!r}",
                where=where,
                remedy=f"Classes of the annotations: {names}.",
            )


class ScoringRun:
    """One run over an open project.

    Parameters
    ----------
    project
        Open for writing, or for reading if the run is dry.
    settings
        Of the run.
    monitor
        Is told what happens.
    on_scored
        Called with the outcome and the open slide's tile plan after each scored image, for reports.
    """

    def __init__(
        self,
        project: Project,
        settings: ScoreSettings,
        monitor: Monitor | None = None,
        on_scored: ScoredHook | None = None,
    ) -> None:
        self.project = project
        self.settings = settings
        self.monitor = monitor or Monitor()
        self.on_scored = on_scored
        self.records = RunRecords(project.folder)
        self.run: RunId = self.records.next_id()
        self.started = now()
        self.classes_added: list[str] = []
        self.outcomes: list[ImageOutcome] = []

    def execute(self) -> RunResult:
        """Score the chosen images.

        Raises
        ------
        ImageNotFoundError
            No image is chosen.
        RegionError
            No chosen image has an annotation of a class that was asked for.
        ModelError, ExtractorError
            The model or its extractor cannot be used.
        ProjectError
            The project is locked or cannot be written.
        """
        chosen = choose_images(self.project, self.settings.images)
        require_classes(chosen, self.settings, where=self.project.path)
        scorer = load_scorer(self.settings)
        self.monitor.run_started(len(chosen))
        if self.settings.dry_run:
            self.outcomes = [self._outcome_of(entry, scorer) for entry in chosen]
            return self._result(scorer)
        self.run = self.records.begin("score")
        with self.project.transaction(self.run.text, command="score"):
            for entry in chosen:
                self.outcomes.append(self._outcome_of(entry, scorer))
                record = self.records.write(self.run, self._record(scorer))
        return self._result(scorer, record)

    def _outcome_of(self, entry: ImageEntry, scorer: Scorer) -> ImageOutcome:
        def work() -> ImageOutcome:
            with self._claimed(entry):
                return self._score_entry(entry, scorer)

        return attempt(entry, work, self.monitor, remedy="Please report it; the run record has the details.")

    def _claimed(self, entry: ImageEntry) -> contextlib.AbstractContextManager[None]:
        """Keep other runs away from an image; a dry run is in nobody's way."""
        return contextlib.nullcontext() if self.settings.dry_run else entry.claim("score", wait_s=self.settings.wait_s)

    def _score_entry(self, entry: ImageEntry, scorer: Scorer) -> ImageOutcome:
        info = scorer.extractor.info
        cells = self.settings.cells
        with plan_tiles(entry, self.settings, tile_px=info.tile_px, mpp=info.mpp, cells=cells) as plan:
            existing = existing_of(entry, self.records.history(but=self.run))
            if not len(plan.tiles) or self.settings.dry_run:
                return self._unscored(entry, plan, existing)
            self.monitor.tiles_found(len(plan.tiles))
            score = scorer.score(plan, self.monitor.tiles_done)
            change = replacement(
                existing, score, run_number=self.run.number, run=self.run.text, model=scorer.bundle.label
            )
            details = {
                **plan.facts(),
                "metadata": change.written_metadata,
                "measurements": {str(parent): [*names] for parent, names in change.edit.set_measurements.items()},
                "region_ids": [str(r.region.parent_id) for r in score.regions if r.region.parent_id],
            }
            outcome = ImageOutcome(
                entry.id,
                entry.name,
                Status.SCORED,
                score=score,
                notes=(*plan.notes, *change.notes),
                left_out=plan.left_out,
                added=len(score.tiles),
                removed=len(change.edit.remove),
                details=details | result_now(self.run, run=self.run.text, tiles=len(score.tiles)).to_json(),
            )
            try:
                self._save(entry, change, outcome, scorer)
            except ProjectError as error:
                return self._kept_aside(entry, existing, change, error, details)
            if self.on_scored is not None:
                self.on_scored(outcome, plan)
        return outcome

    def _save(self, entry: ImageEntry, change: WriteBack, outcome: ImageOutcome, scorer: Scorer) -> None:
        """Put an image's result, the classes it uses and the record of it in place together.

        Without the record, a later run could not tell what in the image's metadata is a person's.
        """
        known = self.classes_added
        try:
            with self.project.together() as step:
                write_back(entry, change)
                self.classes_added = [*known, *self._add_classes(scorer.scheme)]
                self.records.write(self.run, self._record(scorer, outcome), within=step)
        except Her2qpError:
            self.classes_added = known
            entry.discard()
            raise

    def _kept_aside(
        self, entry: ImageEntry, existing: Existing, change: WriteBack, error: ProjectError, details: dict[str, Any]
    ) -> ImageOutcome:
        """Keep a result that could not be written for later; a place where even that is impossible is reported."""
        path = aside_file(self.project.folder, self.run.text, entry)
        try:
            keep_aside(path, existing, change)
        except Her2qpError:
            raise error from None
        command = shlex.join(["her2qp", "import", str(self.project.folder), str(path), "--image", entry.name])
        remedy = f"The result is kept: close the image in QuPath, then bring it in by `{command}`."
        reason = str(type(error)(error.what, where=error.where, remedy=remedy))
        return ImageOutcome(entry.id, entry.name, Status.FAILED, reason, details={**details, "aside": str(path)})

    def _unscored(self, entry: ImageEntry, plan: TilePlan, existing: Existing) -> ImageOutcome:
        """Skip an image: take out what an earlier run left there, and touch nothing where there is nothing."""
        cleared = removal(existing)
        removed = len(cleared.edit.remove)
        details = plan.facts()
        if self.settings.dry_run and len(plan.tiles):
            regions = len({int(region) for region in plan.tiles.region})
            reason = f"dry run: {len(plan.tiles)} tiles in {regions} {plan.noun} would be scored"
            reason += f", {removed} earlier tiles replaced" if removed else ""
        else:
            reason = plan.reason
            changed = not cleared.edit.is_empty or cleared.metadata != dict(existing.metadata)
            if changed and not self.settings.dry_run:
                write_back(entry, cleared)
                reason += f" ({removed} tiles of an earlier run removed)"
                details |= result_now(self.run, run=None, tiles=0).to_json()
        return ImageOutcome(
            entry.id,
            entry.name,
            Status.SKIPPED,
            reason,
            notes=plan.notes,
            left_out=plan.left_out,
            planned=len(plan.tiles),
            removed=removed,
            details=details,
        )

    def _add_classes(self, scheme: Scheme) -> list[str]:
        """Add the classes of tiles to the project's class list; one of that name that is there keeps its colour."""
        listed = {str(path_class) for path_class in self.project.path_classes}
        missing = [TILE_CLASSES[name] for name in scheme.classes if str(TILE_CLASSES[name]) not in listed]
        if missing:
            self.project.path_classes = (*self.project.path_classes, *missing)
            self.project.save()
        return [str(path_class) for path_class in missing]

    def _record(self, scorer: Scorer, *about_to_be: ImageOutcome) -> dict[str, Any]:
        return {
            "run": self.run.text,
            "number": self.run.number,
            "command": "score",
            "notice": f"{scorer.bundle.notice} {RESEARCH_USE}".strip(),
            "started": self.started.isoformat(),
            "finished": now().isoformat(),
            "versions": versions(),
            "backend": self.project.backend,
            "qupath_version": self.project.qupath_version,
            "parameters": self.settings.model_dump(mode="json"),
            "model": scorer.bundle.facts(),
            "extractor": scorer.extractor_facts(),
            "classes_added": self.classes_added,
            "images": [
                {**o.details, **o.to_json(), "objects_added": o.added, "objects_removed": o.removed}
                for o in (*self.outcomes, *about_to_be)
            ],
        }

    def _result(self, scorer: Scorer, record: Path | None = None) -> RunResult:
        bundle, backend = scorer.bundle, self.project.backend
        return RunResult(self.run.text, bundle.label, scorer.scheme, bundle.notice, backend, self.outcomes, record)


def existing_of(entry: ImageEntry, history: History) -> Existing:
    """Return what an image holds now, and what earlier runs are known to have written there."""
    metadata = dict(entry.metadata)
    return Existing(
        image_id=entry.id,
        parents=(*entry.annotations, *entry.tma_cores),
        tiles=entry.tiles(),
        metadata=metadata,
        recorded_regions=history.regions_of(entry.id),
        recorded_measurements=history.measurements.get(entry.id, {}),
        recorded_metadata=history.metadata_of(entry.id, metadata),
    )


def write_back(entry: ImageEntry, change: WriteBack) -> None:
    """Save a change of one image, hierarchy and metadata together."""
    entry.edit(change.edit)
    entry.metadata = change.metadata
    try:
        entry.save()
    except Her2qpError:
        entry.discard()
        raise


def load_scorer(settings: ScoreSettings) -> Scorer:
    """Load the model and its extractor.

    Raises
    ------
    BundleError
        The bundle is damaged, or tells other things apart than the classes of HER2.
    BundleMismatchError
        The extractor is not the one that the model was trained with.
    WeightsNotFoundError
        The extractor's weights are not at hand.
    """
    from her2qp.features import FeatureStore, load_extractor
    from her2qp.models.bundle import Bundle

    bundle = Bundle.load(settings.model)
    scheme = Scheme.of(bundle.classes)
    if scheme is None:
        raise BundleError(
            f"the model predicts {', '.join(bundle.classes)}, which is none of the ways to class HER2: "
            f"{Scheme.described()}",
            where=bundle.label,
        )
    extractor = load_extractor(settings.extractor or bundle.extractor_id, runtime=settings.runtime)
    bundle.check_features(extractor.info)
    return Scorer(bundle, scheme, extractor, FeatureStore(settings.cache() / "features"))
