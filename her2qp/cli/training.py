"""The verbs that train models and judge them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from her2qp.cli.console import say
from her2qp.cli.guard import guarded, print_json
from her2qp.cli.options import JsonOption

if TYPE_CHECKING:
    from her2qp.training.config import TrainingConfig
    from her2qp.training.runs import Run

_GOES_ON = "Interrupted. Finished models and epochs are kept; the same command goes on from there."


class Device(StrEnum):
    """Where models are trained."""

    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class ProtocolName(StrEnum):
    """Which patients are learnt from and which are judged."""

    CROSSVAL = "crossval"
    NESTED = "nested"
    DU2025 = "du2025"


SourceArgument = Annotated[
    Path, typer.Argument(metavar="COHORT|CONFIG", help="Table of `her2qp cohort` or STAMP, or a YAML configuration.")
]
CohortArgument = Annotated[
    Path,
    typer.Argument(metavar="COHORT|CONFIG", help="Table of other patients, or YAML as under `external` of a run's."),
]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run.")]
FeaturesOption = Annotated[
    Path | None,
    typer.Option("--features", metavar="DIR", help="HDF5 of TRIDENT, CLAM, STAMP or her2qp. [default: the store]"),
]
ExtractorOption = Annotated[
    str | None, typer.Option("--extractor", metavar="ID", help="Extractor that made the features, if not the default.")
]
TileOption = Annotated[
    float | None, typer.Option("--tile-um", metavar="µm", help="Side of a tile, where the feature files do not say it.")
]
MemoryOption = Annotated[
    float | None,
    typer.Option("--memory", metavar="GB", help="What features may take; the rest is read each time. [default: 2]"),
]
LabelOption = Annotated[str | None, typer.Option("--label-column", metavar="NAME", help="Column of the label.")]
ClinicalOption = Annotated[
    list[str] | None,
    typer.Option("--clinical", metavar="COLUMN", help="Column for the baseline 'clinical only'; repeatable."),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE.yaml", help="Everything else; options count in its place.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="kat, slidegraph, abmil, clam or meanpool. [default: kat]")
]
PresetOption = Annotated[str | None, typer.Option("--preset", metavar="NAME", help="Of kat: corrected or faithful.")]
FoldsOption = Annotated[int | None, typer.Option("--folds", metavar="N", help="Number of folds. [default: 5]")]
SiteOption = Annotated[bool, typer.Option("--site-preserving", help="Keep every site in one fold.")]
EpochsOption = Annotated[int | None, typer.Option("--epochs", metavar="N", help="At most so many epochs.")]
DeviceOption = Annotated[Device | None, typer.Option("--device", help="[default: cpu]", show_default=False)]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, help="Models trained side by side. [default: as many as cores]"),
]
SeedOption = Annotated[int | None, typer.Option("--seed", metavar="N", help="Of folds, weights and resampling.")]
NameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Of the model.")]
ArtificialOption = Annotated[
    bool, typer.Option("--artificial", help="Slides are artificial or labels invented: every output then says so.")
]


def train(
    source: SourceArgument,
    out: OutOption = None,
    features: FeaturesOption = None,
    config: ConfigOption = None,
    model: ModelOption = None,
    preset: PresetOption = None,
    label_column: LabelOption = None,
    extractor: ExtractorOption = None,
    tile_um: TileOption = None,
    memory: MemoryOption = None,
    folds: FoldsOption = None,
    site_preserving: SiteOption = False,
    epochs: EpochsOption = None,
    device: DeviceOption = None,
    workers: WorkersOption = None,
    seed: SeedOption = None,
    name: NameOption = None,
    artificial: ArtificialOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train models on all patients, one a fold, and bundle them; how good they are, `crossval` or `evaluate` says."""
    _carry_out("train", locals())


def crossval(
    source: SourceArgument,
    out: OutOption = None,
    features: FeaturesOption = None,
    config: ConfigOption = None,
    model: ModelOption = None,
    preset: PresetOption = None,
    label_column: LabelOption = None,
    extractor: ExtractorOption = None,
    tile_um: TileOption = None,
    memory: MemoryOption = None,
    protocol: Annotated[
        ProtocolName | None,
        typer.Option(help="Folds; folds within folds; or 30 % held out, as Du et al. [default: crossval]"),
    ] = None,
    folds: FoldsOption = None,
    site_preserving: SiteOption = False,
    clinical: ClinicalOption = None,
    epochs: EpochsOption = None,
    device: DeviceOption = None,
    workers: WorkersOption = None,
    seed: SeedOption = None,
    name: NameOption = None,
    artificial: ArtificialOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train models by folds and judge each on patients that it has not seen, beside what needs no morphology."""
    _carry_out("crossval", locals())


def evaluate(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE|RUN", help="A model bundle, or the folder of a run.")],
    cohort: CohortArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the report.")],
    features: FeaturesOption = None,
    label_column: LabelOption = None,
    extractor: ExtractorOption = None,
    tile_um: TileOption = None,
    memory: MemoryOption = None,
    clinical: ClinicalOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a trained model on other patients. Given a run, the baselines learn from the patients of that run."""
    with guarded(as_json=as_json):
        from her2qp.cli.trainingprogress import TrainingProgress
        from her2qp.training.config import CohortSettings, JudgingSettings, read_cohort_settings
        from her2qp.training.runs import evaluate_bundle
        from her2qp.training.yamlfile import validated

        given = _without_none(
            {
                "cohort": None if _is_yaml(cohort) else cohort,
                "features": None if features is None else features.absolute(),
                "label_column": label_column,
                "tile_um": tile_um,
                "memory_gb": memory,
                "tiles": {"extractor": extractor},
            }
        )
        settings = read_cohort_settings(cohort, **given) if _is_yaml(cohort) else validated(CohortSettings, given)
        judging = _without_none({"clinical": clinical, "seed": seed})
        with TrainingProgress() as monitor:
            done = evaluate_bundle(
                bundle,
                settings,
                out,
                validated(JudgingSettings, judging) if judging else None,
                monitor,
            )
        _show(done, as_json)


def compare(
    one: Annotated[Path, typer.Argument(metavar="A", help="Folder of a run, or a table of predictions.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one for the same cases.")],
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Also write a page.")] = None,
    clinical: ClinicalOption = None,
    replicates: Annotated[int, typer.Option(metavar="N", min=10, help="How often patients are resampled.")] = 2000,
    as_json: JsonOption = False,
) -> None:
    """Compare two models on the same cases: paired bootstrap of every metric, DeLong for the AUC of every class."""
    with guarded(as_json=as_json):
        from her2qp.training.comparing import compare_runs

        compared = compare_runs(one, other, report, clinical=clinical or (), replicates=replicates)
        if as_json:
            print_json(compared.to_json())
            return
        from her2qp.cli.evaluationtables import print_comparison, print_evaluation

        for evaluation in (compared.one, compared.other):
            print_evaluation(evaluation, evaluation.predictions.name)
        print_comparison(compared.comparison)
        if compared.report is not None:
            say(f"Report: {compared.report}")


def _carry_out(verb: Literal["train", "crossval"], given: dict[str, Any]) -> None:
    with guarded(as_json=given["as_json"], interrupted=_GOES_ON):
        from her2qp.cli.trainingprogress import TrainingProgress
        from her2qp.training import runs

        run = runs.train if verb == "train" else runs.crossval
        with TrainingProgress() as monitor:
            done = run(_configure(given), monitor)
        _show(done, given["as_json"])


def _configure(given: dict[str, Any]) -> TrainingConfig:
    """Make one configuration of a file, if there is one, and the options."""
    from her2qp.training.config import make_config, read_config

    source: Path = given["source"]
    is_config = _is_yaml(source)
    if is_config and given["config"] is not None:
        raise typer.BadParameter("give the configuration once: as CONFIG or with --config")
    fields: dict[str, Any] = {
        "cohort": None if is_config else source.absolute(),
        "output": None if given["out"] is None else given["out"].absolute(),
        "features": None if given["features"] is None else given["features"].absolute(),
        "label_column": given["label_column"],
        "tile_um": given["tile_um"],
        "memory_gb": given["memory"],
        "name": given["name"],
        "artificial": given["artificial"] or None,
        "workers": given["workers"],
        "tiles": {"extractor": given["extractor"]},
        "model": {"architecture": given["model"], "preset": given["preset"]},
        "fit": {"epochs": given["epochs"], "device": given["device"], "seed": given["seed"]},
        "protocol": {
            "kind": given.get("protocol"),
            "folds": given["folds"],
            "site_preserving": given["site_preserving"] or None,
            "seed": given["seed"],
        },
        "judging": {"clinical": given.get("clinical"), "seed": given["seed"]},
    }
    chosen = _without_none(fields)
    file = source if is_config else given["config"]
    if file is None and given["out"] is None:
        raise typer.BadParameter("name the folder of the run", param_hint="--out")
    return make_config(**chosen) if file is None else read_config(file, **chosen)


def _is_yaml(file: Path) -> bool:
    return file.suffix.lower() in (".yaml", ".yml")


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    """Keep what was given."""
    parts = {name: _without_none(value) if isinstance(value, dict) else value for name, value in fields.items()}
    return {name: value for name, value in parts.items() if value not in (None, {}, [])}


def _show(run: Run, as_json: bool) -> None:
    if as_json:
        print_json(run.to_json())
        return
    from her2qp.cli.evaluationtables import print_evaluation, print_notice

    if run.evaluation is not None:
        print_evaluation(run.evaluation, run.evaluation.predictions.name)
    if run.external is not None:
        print_evaluation(run.external, "external cohort")
    if run.members:
        say(f"Model:  {run.folder / 'bundle'}")
    for page in (run.report, run.external_report):
        if page is not None:
            say(f"Report: {page}")
    print_notice(run.bundle.notice)
