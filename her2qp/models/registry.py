"""The architectures that a bundle can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from her2qp.errors import BundleError
from her2qp.models.abmil import ABMIL, ABMILConfig
from her2qp.models.clam import CLAM, CLAMConfig
from her2qp.models.ensemble import Ensemble, EnsembleConfig
from her2qp.models.kat import KAT, KATConfig
from her2qp.models.meanpool import MeanPool, MeanPoolConfig
from her2qp.models.model import Model, ModelConfig
from her2qp.models.slidegraph import SlideGraph, SlideGraphConfig


@dataclass(frozen=True, slots=True)
class Architecture:
    """Reads the hyperparameters of an architecture and builds a model from them."""

    config: type[ModelConfig]
    build: Callable[[Any], Model]


def _build_ensemble(config: EnsembleConfig) -> Ensemble:
    if config.architecture == Ensemble.architecture:
        raise BundleError("hyperparameters of ensemble: its members cannot be ensembles")
    members = [build_model(config.architecture, config.hyperparameters) for _ in config.temperatures]
    for name in ("dimension", "classes"):
        if getattr(members[0].config, name) != getattr(config, name):
            raise BundleError(f"hyperparameters of ensemble: {name} is not that of its members")
    return Ensemble(config, members)


ARCHITECTURES: dict[str, Architecture] = {
    KAT.architecture: Architecture(KATConfig, KAT),
    ABMIL.architecture: Architecture(ABMILConfig, ABMIL),
    CLAM.architecture: Architecture(CLAMConfig, CLAM),
    MeanPool.architecture: Architecture(MeanPoolConfig, MeanPool),
    SlideGraph.architecture: Architecture(SlideGraphConfig, SlideGraph),
    Ensemble.architecture: Architecture(EnsembleConfig, _build_ensemble),
}


def build_model(architecture: str, hyperparameters: Mapping[str, object]) -> Model:
    """Build an untrained model.

    Parameters
    ----------
    architecture
        A key of `ARCHITECTURES`.
    hyperparameters
        Fields of the architecture's configuration.

    Raises
    ------
    BundleError
        The architecture is unknown, or the hyperparameters are not its own or out of bounds.
    """
    if architecture not in ARCHITECTURES:
        raise BundleError(
            f"unknown architecture {architecture!r}",
            remedy=f"Known are {', '.join(ARCHITECTURES)}; a newer her2qp may know more.",
        )
    entry = ARCHITECTURES[architecture]
    try:
        config = entry.config.model_validate(dict(hyperparameters))
    except ValidationError as error:
        raise BundleError(f"hyperparameters of {architecture}: {first_problem(error)}") from error
    return entry.build(config)


def first_problem(error: ValidationError) -> str:
    """Say the first of pydantic's complaints in one line."""
    problem = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, problem["loc"]))
    return f"{field}: {problem['msg']}" if field else problem["msg"]
