"""What to train, on what, and how to judge it: the configuration of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    model_validator,
)

from her2qp.cohort.keeping import MEMORY_GB
from her2qp.errors import BundleError
from her2qp.models.kat import KATConfig
from her2qp.models.model import Model, ModelConfig
from her2qp.models.registry import build_model
from her2qp.scoring.settings import TileSettings
from her2qp.training.fit import FitSettings
from her2qp.training.protocols import CrossValidation, HeldOut, Nested
from her2qp.training.yamlfile import YamlFile, merged, validated


def _compact_kat(dimension: int, classes: int) -> KATConfig:
    sizes = {"depth": 3, "width": 64, "heads": 4, "head_width": 16, "mlp_width": 128, "dropout": 0.25}
    return KATConfig.corrected(dimension, classes).model_copy(update=sizes)


PRESETS: dict[str, dict[str, Callable[[int, int], ModelConfig]]] = {
    "kat": {"compact": _compact_kat, "corrected": KATConfig.corrected, "faithful": KATConfig.faithful},
}
"""Named hyperparameters by architecture; the first ones are taken where none are named."""


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    return path if info.context is None else Path(info.context) / path


InputPath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path; in a file, one that is not absolute is looked for from the folder of the file."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSettings(_Part):
    """The slide model.

    Parameters
    ----------
    architecture
        "kat", "abmil" or another of :data:`her2qp.models.registry.ARCHITECTURES`.
    preset
        Of KAT: "compact", "corrected" or "faithful". Faithful is the published model; corrected has its sizes as a
        regular pre-norm transformer with a proper Gaussian prior; compact is that one in the size that some hundred
        slides and a processor without a GPU can train. Other architectures have none.
    hyperparameters
        Fields of the architecture's configuration that differ from that; feature dimension and classes come from the
        data.
    """

    architecture: str = "kat"
    preset: str | None = None
    hyperparameters: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _first_preset(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("preset") is not None:
            return values
        architecture = values.get("architecture", "kat")
        known = PRESETS.get(architecture, {}) if isinstance(architecture, str) else {}
        return {**values, "preset": next(iter(known), None)}

    @model_validator(mode="after")
    def _can_be_built(self) -> ModelSettings:
        known = PRESETS.get(self.architecture, {})
        if self.preset is not None and self.preset not in known:
            raise ValueError(
                f"{self.architecture} has no preset {self.preset!r}; known are {', '.join(known) or 'none'}"
            )
        given = {"dimension", "classes"} & self.hyperparameters.keys()
        if given:
            raise ValueError(f"{min(given)} comes from the data")
        try:
            import torch

            with torch.device("meta"):
                self.build(1, 2)
        except BundleError as error:
            raise ValueError(str(error)) from error
        return self

    def build(self, dimension: int, classes: int) -> Model:
        """Build an untrained model; its weights are drawn from torch's present random state."""
        below: Mapping[str, Any] = {"dimension": dimension, "classes": classes}
        if self.preset is not None:
            below = PRESETS[self.architecture][self.preset](dimension, classes).model_dump(mode="json")
        return build_model(self.architecture, merged(below, self.hyperparameters))


class CohortSettings(_Part):
    """Labelled slides and their features.

    Parameters
    ----------
    cohort
        Table of ``her2qp cohort``, or any with PATIENT, FILENAME and a label.
    label_column
        Its column of labels; None: the one that there is.
    features
        Folder of HDF5 feature files of TRIDENT, CLAM, STAMP or her2qp; None: the feature store, for slides of QuPath
        projects.
    tile_um
        Side of a tile in µm, where the feature files do not say it.
    memory_gb
        How much memory the features may take; what does not fit is read from its file each time it is used.
    tiles
        Which tiles of QuPath projects are meant; for a folder, only `mpp` and `extractor` count. See
        :class:`her2qp.scoring.settings.TileSettings`.
    """

    cohort: InputPath
    label_column: str | None = None
    features: InputPath | None = None
    tile_um: float | None = Field(default=None, gt=0)
    memory_gb: float = Field(default=MEMORY_GB, ge=0)
    tiles: TileSettings = TileSettings()


class JudgingSettings(_Part):
    """How the predictions are judged.

    Parameters
    ----------
    by
        A patient with several slides is judged once, by the mean, or each slide by itself.
    clinical
        Columns of the cohort that the clinic knows without a slide, for the baseline "clinical only".
    replicates, permutations
        How often patients are resampled, and labels permuted.
    retrained_permutations
        How often mean pooling is retrained on permuted labels.
    attention_slides
        Slides of which deletion and insertion curves are made; every one takes some 70 forward passes.
    seed
        Of all of this.
    """

    by: Literal["patient", "slide"] = "patient"
    clinical: tuple[str, ...] = ()
    replicates: int = Field(default=2000, ge=10, le=100_000)
    permutations: int = Field(default=300, ge=10, le=100_000)
    retrained_permutations: int = Field(default=10, ge=0, le=1000)
    attention_slides: int = Field(default=16, ge=0)
    seed: int = Field(default=0, ge=0)


def _named(value: object) -> object:
    """Take ``protocol: du2025`` for ``protocol: {kind: du2025}``, and no kind for the plain one."""
    if isinstance(value, Mapping):
        return {"kind": "crossval", **value}
    return {"kind": value} if isinstance(value, str) else value


Protocol = Annotated[CrossValidation | Nested | HeldOut, Field(discriminator="kind"), BeforeValidator(_named)]


class TrainingConfig(CohortSettings):
    """Everything that a run is made of.

    Parameters
    ----------
    output
        Folder of the run; a run that was interrupted is taken up again there.
    name
        Of the model.
    artificial
        The slides are artificial or the labels invented: the model then says nothing about real HER2, and every
        output of it says so.
    data
        Where the slides come from, in words, for the model's card.
    external
        Another cohort, of other patients, on which the models are judged too.
    workers
        Processes that train models side by side, at most; None: as many as there are cores and memory for, and one on a
        GPU. Their number changes no result.
    model, fit, protocol, judging
        See the parts.
    """

    output: InputPath
    name: str = Field(default="her2", pattern=r"^[\w.+-]{1,100}$")
    artificial: bool = False
    data: str | None = None
    external: CohortSettings | None = None
    workers: int | None = Field(default=None, ge=1, le=1024)
    model: ModelSettings = Field(default_factory=ModelSettings)
    fit: FitSettings = FitSettings()
    protocol: Protocol = CrossValidation()
    judging: JudgingSettings = JudgingSettings()

    def to_yaml(self) -> str:
        """The whole configuration, defaults included, as YAML that :func:`read_config` takes."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_config(path: str | Path, **overriding: Any) -> TrainingConfig:
    """Read a configuration.

    Parameters
    ----------
    path
        A YAML file. Relative paths in it are taken from its folder.
    **overriding
        Fields that count in place of those of the file; mappings are merged.

    Raises
    ------
    TrainingError
        The file cannot be read, or a field is wrong, unknown or missing; the message names field and line.
    """
    file = YamlFile.read(Path(path))
    if "protocol" in file.values:
        file.values["protocol"] = _named(file.values["protocol"])
    return file.validate(TrainingConfig, overriding, context=file.path.absolute().parent)


def read_cohort_settings(path: str | Path, **overriding: Any) -> CohortSettings:
    """Read which slides to judge: a file of what stands under ``external`` in a configuration.

    Parameters and errors are those of :func:`read_config`.
    """
    file = YamlFile.read(Path(path))
    return file.validate(CohortSettings, overriding, context=file.path.absolute().parent)


def make_config(**fields: Any) -> TrainingConfig:
    """Make a configuration without a file.

    Raises
    ------
    TrainingError
        A field is wrong, unknown or missing.
    """
    return validated(TrainingConfig, fields)
