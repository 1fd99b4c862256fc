"""What a model bundle says about itself: ``config.json``."""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from her2qp.errors import BundleError
from her2qp.models.registry import first_problem

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RGB = tuple[float, float, float]


class FeatureInfo(Protocol):
    """What a bundle wants to know of a feature extractor; :class:`her2qp.features.ExtractorInfo` is one."""

    @property
    def id(self) -> str:
        """Name of the extractor."""

    @property
    def dimension(self) -> int:
        """Number of features a tile."""

    @property
    def tile_px(self) -> int:
        """Side of a tile, pixels."""

    @property
    def mpp(self) -> float:
        """Pixel size of a tile, µm."""

    @property
    def mean(self) -> RGB:
        """Mean of red, green and blue that is taken off."""

    @property
    def std(self) -> RGB:
        """Spread of red, green and blue that is divided by."""

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the extractor's weights."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights and preprocessing."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FeatureSpec(_Part):
    """The features that a model was trained on.

    Parameters
    ----------
    extractor
        Id of the extractor.
    dimension, tile_px, mpp, mean, std, weights_sha256
        As in :class:`FeatureInfo`.
    preprocessing_sha256
        The extractor's `fingerprint`: weights, normalisation and tile geometry.
    """

    extractor: str = Field(min_length=1)
    dimension: int = Field(ge=1)
    tile_px: int = Field(ge=1, le=65536)
    mpp: float = Field(gt=0, le=100)
    mean: RGB
    std: RGB
    weights_sha256: str
    preprocessing_sha256: str

    @classmethod
    def of(cls, info: FeatureInfo) -> FeatureSpec:
        """The features that an extractor makes."""
        return cls(
            extractor=info.id,
            dimension=info.dimension,
            tile_px=info.tile_px,
            mpp=info.mpp,
            mean=info.mean,
            std=info.std,
            weights_sha256=info.weights_sha256,
            preprocessing_sha256=info.fingerprint,
        )

    def differences(self, other: FeatureSpec) -> list[str]:
        """What differs, as "name: mine, other's"; empty if features of the one can stand for the other's."""
        return [
            f"{name}: {mine}, {theirs}"
            for name, mine, theirs in zip(
                type(self).model_fields, self.model_dump().values(), other.model_dump().values(), strict=True
            )
            if mine != theirs
        ]


class Training(_Part):
    """Where a model comes from.

    Parameters
    ----------
    data
        What it was trained on, in words.
    artificial
        Whether that were artificial slides or invented labels only: the model then says nothing about real HER2, and
        every output says so.
    seeds, versions, date
        Of the training run.
    """

    data: str = Field(min_length=1)
    artificial: bool
    seeds: tuple[int, ...]
    versions: dict[str, str]
    date: datetime.date


class BundleConfig(_Part):
    """``config.json`` of a bundle.

    Parameters
    ----------
    format
        Version of the bundle's layout.
    name
        What users call the model.
    architecture, hyperparameters
        For :func:`her2qp.models.registry.build_model`.
    classes
        Names of the classes, in the order of the logits.
    features
        What goes in.
    temperature
        Logits are divided by it (calibration); 1 leaves them as they are.
    training
        Provenance.
    model_sha256
        SHA-256 of ``model.safetensors``.
    """

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[\w.+-]{1,100}$")
    architecture: str
    hyperparameters: dict[str, JsonValue]
    classes: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(min_length=2, max_length=1000)
    features: FeatureSpec
    temperature: float = Field(default=1.0, ge=1e-3, le=1e3)
    training: Training
    model_sha256: Sha256

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("two classes have the same name")
        return classes

    @classmethod
    def from_json(cls, data: bytes) -> BundleConfig:
        """Read ``config.json``.

        Raises
        ------
        BundleError
            It is not JSON, or not the configuration of a bundle.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise BundleError(first_problem(error)) from error

    def to_json(self) -> bytes:
        """Write ``config.json``; the same configuration gives the same bytes."""
        return (self.model_dump_json(indent=2) + "\n").encode()

    @property
    def hash(self) -> str:
        """SHA-256 over the configuration, and through `model_sha256` over the weights."""
        # Without defaults, so that a field that a later version adds does not rename the models of this one.
        decisive = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
