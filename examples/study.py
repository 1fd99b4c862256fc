"""What can be trusted of a trained slide model? A study on artificial cohorts whose truth is known.

    python examples/study.py --out examples/study --work study-runs

Cohorts of the sizes of Du et al. 2025 are drawn with features made directly: with a morphological signal in a part of
the tiles, and with none but sites that differ in stain and in how often they see each grade. Models are compared on
them, on random folds and on folds that keep every site whole, and their attention with the tiles that were planted.
A smaller arm starts from pixels. What it writes says nothing about real HER2: there is no tissue in it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

import her2qp
from her2qp.evaluation import Evaluation
from her2qp.evaluation.attentionmaps import draw_tiles
from her2qp.evaluation.intervals import Interval
from her2qp.models.bag import Bag
from her2qp.models.model import Model
from her2qp.provenance import her2qp_version
from her2qp.report.pictures import attention_colours
from her2qp.scoring.result import percentile_rank
from her2qp.studies import DU_LOCAL, DU_TCGA, ArtificialCohort, CohortDesign, make_artificial_cohort
from her2qp.studies.forest import ForestRow, forest_plot
from her2qp.studies.planted import attention_finds
from her2qp.studies.slides import LABEL_KEY, SITE_KEY, make_artificial_project
from her2qp.training.config import TrainingConfig, make_config
from her2qp.training.data import cases_of
from her2qp.training.runs import Run, crossval

NOTICE = "Artificial cohorts. Nothing here was measured on tissue, and nothing of it holds for real HER2."
METRIC = "auc_macro_ovr"
SIZE = {"tiles": 120, "dimension": 32}
SIGNAL, CONFOUNDING = 2.0, 0.6
FIT = {"epochs": 60, "learning_rate": 1e-3, "weight_decay": 1e-2, "batch_size": 16, "patience": 8}
JUDGING = {"replicates": 1000, "permutations": 100, "retrained_permutations": 3, "attention_slides": 4}
SMALL_KAT = {
    "width": 64, "depth": 2, "heads": 4, "head_width": 16, "mlp_width": 128, "dropout": 0.25,
    "anchors": {"area_um2": 3e5},
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "KAT": {"architecture": "kat", "preset": "corrected", "hyperparameters": SMALL_KAT},
    "SlideGraph+": {"architecture": "slidegraph"},
    "ABMIL": {"architecture": "abmil", "hyperparameters": {"width": 64}},
    "mean-pooling": {"architecture": "meanpool"},
}
PICTURE = (
    "Four slides of the first arm. First row: the planted tiles, bright. Below: percentile of attention by "
    "models that had not seen the slide, in the order of the table."
)
RANDOM: dict[str, Any] = {"kind": "crossval"}
WHOLE_SITES: dict[str, Any] = {"kind": "crossval", "site_preserving": True}


@dataclass(frozen=True)
class Arm:
    """Results under one title: what they show, an interval for each predictor, and which need no morphology."""

    title: str
    shows: str
    metric: str
    figures: dict[str, Interval]
    baselines: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Return all of it as numbers and text."""
        return {
            "title": self.title,
            "shows": self.shows,
            "metric": self.metric,
            "figures": {name: interval.to_json() for name, interval in self.figures.items()},
            "baselines": sorted(self.baselines),
        }


@dataclass(frozen=True)
class Study:
    """Where the runs go, and whether only to try the script."""

    work: Path
    quick: bool

    def design(self, counts: Sequence[int], **changes: Any) -> CohortDesign:
        """Design of a cohort of these sizes, a sixth of them where the script is only tried."""
        sizes = tuple(max(6, count // 6) for count in counts) if self.quick else tuple(counts)
        return CohortDesign(counts=sizes, **{**SIZE, **({"tiles": 40} if self.quick else {}), **changes})

    def config(self, name: str, model: str, cohort: Path, protocol: dict[str, Any], **more: Any) -> TrainingConfig:
        """Configuration of one run; `features` lie beside the cohort."""
        fit = {**FIT, **({"epochs": 4} if self.quick else {})}
        fields = {"features": cohort.parent / "features", "artificial": True, "data": NOTICE, **more}
        return make_config(
            cohort=cohort, output=self.work / "runs" / f"{name}-{model}", name=model, model=MODELS[model], fit=fit,
            judging=JUDGING, protocol=protocol, **fields,
        )  # fmt: skip


def report(run: Run, title: str, started: float) -> None:
    """Print one line on a finished run."""
    if run.evaluation is not None:
        print(f"{title}, {run.evaluation.predictions.name}: {run.evaluation.metrics[METRIC]}, "
              f"{time.monotonic() - started:.0f} s", flush=True)  # fmt: skip


def arm_of(title: str, shows: str, evaluations: Sequence[Evaluation | None]) -> Arm:
    """Models and what needs no morphology, on the same cases."""
    judged = [each for each in evaluations if each is not None]
    models = {each.predictions.name.partition("@")[0]: each.metrics[METRIC] for each in judged}
    beside = {name: metrics[METRIC] for name, metrics in judged[0].baseline_metrics.items()}
    beside["labels permuted"] = judged[0].chance[METRIC]
    return Arm(
        f"{title} (n = {len(judged[0].predictions)})", shows, "macro-OvR AUC", models | beside, frozenset(beside)
    )


def signal_arms(study: Study) -> tuple[list[Arm], Image.Image]:
    """Models on a cohort with a signal and without confounding, on an external cohort, and their attention."""
    made = make_artificial_cohort(study.design(DU_LOCAL, signal=SIGNAL, seed=1))
    other = make_artificial_cohort(study.design(DU_TCGA, signal=SIGNAL, seed=2, first_site=100, sites=29))
    none = make_artificial_cohort(study.design(DU_LOCAL, signal=0.0, seed=3))
    table, external = made.write(study.work / "signal"), other.write(study.work / "external")
    more = {"external": {"cohort": external, "features": external.parent / "features"}}
    inside, outside, found, judged = [], [], {}, []
    for model in MODELS:
        started = time.monotonic()
        config = study.config("signal", model, table, RANDOM, **more)
        run = crossval(config)
        report(run, "signal", started)
        inside.append(run.evaluation)
        outside.append(run.external)
        if model != "mean-pooling":  # which gives every tile the same attention
            slides = [*judged_slides(run, config, made)]
            found[model] = attention_finds(slides)
            judged.append((model, slides))
    blind = crossval(study.config("nosignal", "ABMIL", none.write(study.work / "nosignal"), RANDOM))
    control = study.config("nosignal", "ABMIL", study.work / "nosignal" / "cohort.csv", RANDOM)
    found["ABMIL, no signal planted"] = attention_finds(judged_slides(blind, control, none))
    arms = [
        arm_of(
            "A signal in a part of the tiles", "Models that choose tiles find what the mean over all hides.", inside
        ),
        arm_of("The same models at other sites", "What was learnt from morphology holds at sites never seen.", outside),
        Arm(
            "Does attention find the planted tiles?",
            "By models that had not seen the slide; 0.5 is chance. Without a signal there is nothing to find.",
            "AUC of attention for planted tiles, mean over slides",
            found,
        ),
    ]
    return arms, attention_picture(judged)


def judged_slides(
    run: Run, config: TrainingConfig, made: ArtificialCohort
) -> Iterator[tuple[Model, Bag, NDArray[Any]]]:
    """Each slide with the model that had not seen its patient, and the planted tiles."""
    for member, (split,) in zip(run.members, config.protocol.groups(cases_of(made.cohort)), strict=True):
        for row in split.test:
            yield member.model, made.features.bags[row], made.planted[row]


def attention_picture(judged: Sequence[tuple[str, Sequence[tuple[Model, Bag, NDArray[Any]]]]]) -> Image.Image:
    """Planted tiles of four slides above what each model attends to."""
    names = [bag.name for _, bag, _ in judged[0][1][:4]]
    rows = [[draw_tiles(bag.positions_um, bag.tile_um, attention_colours(planted.astype(float)))
             for _, bag, planted in judged[0][1][:4]]]  # fmt: skip
    for _, slides in judged:
        by_name = {bag.name: (model, bag) for model, bag, _ in slides}
        attentions = [(bag, model.judge(bag)[1].numpy()) for model, bag in (by_name[name] for name in names)]
        rows.append(
            [draw_tiles(b.positions_um, b.tile_um, attention_colours(percentile_rank(a))) for b, a in attentions]
        )
    side = 160
    sheet = Image.new("RGB", (side * len(names), side * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            picture.thumbnail((side - 8, side - 8), Image.Resampling.NEAREST)
            sheet.paste(picture, (x * side + 4, y * side + 4))
    return sheet


def confounding_arms(study: Study) -> list[Arm]:
    """No signal, but sites that differ in stain and in their grades: random folds beside folds of whole sites."""
    made = make_artificial_cohort(study.design(DU_LOCAL, signal=0.0, confounding=CONFOUNDING, seed=4))
    table, arms = made.write(study.work / "confounded"), []
    for title, shows, protocol in (
        (
            "random folds",
            "There is nothing to see in these slides. All that is reached here is the site's stain.",
            RANDOM,
        ),
        (
            "folds of whole sites",
            (
                "The same slides and models, but no site is in training and test at once: nothing is left, and what "
                "was learnt from a site misleads at another."
            ),
            WHOLE_SITES,
        ),
    ):
        evaluations = []
        for model in MODELS:
            started = time.monotonic()
            run = crossval(study.config(f"confounded {title}".replace(" ", "-"), model, table, protocol))
            report(run, f"confounded, {title}", started)
            evaluations.append(run.evaluation)
        arms.append(arm_of(f"No signal, but confounded sites: {title}", shows, evaluations))
    return arms


def pixel_arm(study: Study) -> Arm:
    """From drawn slides through features and cohort to a model that scores the project it was trained on."""
    levels = [0, 1, 2, 3] * (2 if study.quick else 8)
    folder = study.work / "pixels"
    project = folder / "project" / "project.qpproj"
    if not project.exists():
        make_artificial_project(folder, levels, seed=9000)
    her2qp.fill_features([project])
    table = folder / "cohort.csv"
    her2qp.make_cohort([project], table, label_column=LABEL_KEY, site_column=SITE_KEY)
    evaluations = []
    for model in ("ABMIL", "mean-pooling"):
        started = time.monotonic()
        protocol = {"kind": "crossval", "folds": 2 if study.quick else 4, "validation_folds": 2 if study.quick else 3}
        run = crossval(study.config("pixels", model, table, protocol, features=None))
        report(run, "pixels", started)
        evaluations.append(run.evaluation)
    scored = her2qp.score(project, model=run.folder / "bundle", backend="native")
    done = sum(outcome.score is not None for outcome in scored.outcomes)
    shows = (
        f"Drawn slides through features, cohort and crossval; the model then scored {done} of them in their project."
    )
    return arm_of("From pixels", shows, evaluations)


def write(out: Path, arms: Sequence[Arm], picture: Image.Image) -> None:
    """Write the table, the figures and the numbers."""
    out.mkdir(parents=True, exist_ok=True)
    groups = [
        (arm.title, [ForestRow(name, value, name in arm.baselines) for name, value in arm.figures.items()])
        for arm in arms
    ]
    (out / "study.svg").write_text(forest_plot(groups, "AUC, 95 % interval"), encoding="utf-8")
    picture.quantize(32).save(out / "attention.png", optimize=True)
    lines = [
        "# A study on artificial cohorts", "", f"**{NOTICE}**", "",
        "Made by `make study` ([`examples/study.py`](../study.py)). *Slanted*: what needs no morphology.", "",
        "![Every result with its 95 % interval](study.svg)", "",
    ]  # fmt: skip
    for arm in arms:
        lines += [f"## {arm.title}", "", arm.shows, "", f"| predictor | {arm.metric}, 95 % interval |", "|---|---|"]
        lines += [
            f"| {f'*{name}*' if name in arm.baselines else name} | {value} |" for name, value in arm.figures.items()
        ] + [""]
    lines += ["## Attention", "", PICTURE, "", "![Planted tiles and attention](attention.png)", ""]
    (out / "study.md").write_text("\n".join(lines), encoding="utf-8")
    document = {
        "notice": NOTICE, "her2qp": her2qp_version(), "signal": SIGNAL,
        "confounding": CONFOUNDING, "arms": [arm.to_json() for arm in arms],
    }  # fmt: skip
    (out / "study.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run all arms; what is finished in the work folder is not run again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("examples/study"), help="folder of table and figures")
    parser.add_argument("--work", type=Path, default=Path("study-runs"), help="folder of cohorts, models and reports")
    parser.add_argument("--quick", action="store_true", help="small cohorts and few epochs, to try the script")
    arguments = parser.parse_args()
    study = Study(arguments.work, arguments.quick)
    arms, picture = signal_arms(study)
    arms += [*confounding_arms(study), pixel_arm(study)]
    write(arguments.out, arms, picture)
    print(f"Table and figures: {arguments.out}; reports of the runs: {study.work / 'runs'}")


if __name__ == "__main__":
    main()
