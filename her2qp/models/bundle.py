"""A trained model with all that is needed to use it rightly: weights, configuration, card."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from her2qp.errors import BundleError, BundleMismatchError
from her2qp.models.bag import Bag
from her2qp.models.bundle_config import BundleConfig, FeatureInfo, FeatureSpec, Training
from her2qp.models.bundle_files import CARD_FILE, CONFIG_FILE, GET_AGAIN, MODEL_FILE, read_files, write_files
from her2qp.models.card import notice_of, render_card
from her2qp.models.model import Explanation, Model
from her2qp.models.registry import build_model
from her2qp.scheme import Scheme

DEMO_FOLDER = Path(__file__).parent / "demo"
"""The demonstration bundle that comes with the package."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a bundle says of one bag.

    Parameters
    ----------
    probabilities
        Of the classes, shape (c,), float32, sum 1.
    attention
        Share of each tile, shape (n,), float32, sum 1.
    tile_probabilities
        Of a slide that consists of this tile alone, shape (n, c), float32.
    """

    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    tile_probabilities: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A trained model, its configuration and its card."""

    model: Model
    config: BundleConfig
    card: str

    @classmethod
    def create(
        cls,
        model: Model,
        info: FeatureInfo | FeatureSpec,
        training: Training,
        *,
        name: str,
        classes: tuple[str, ...] = Scheme.GRADES.classes,
        temperature: float = 1.0,
        results: str | None = None,
    ) -> Bundle:
        """Make a bundle of a trained model.

        Parameters
        ----------
        model
            Not changed; not to be changed afterwards.
        info
            The extractor of the features it was trained on, or what is known of them.
        training
            Where it comes from.
        name, classes, temperature
            See :class:`~her2qp.models.bundle_config.BundleConfig`.
        results
            Markdown for the card: what is known of its performance.

        Raises
        ------
        BundleError
            The model, the classes and the extractor do not fit together.
        """
        config = BundleConfig(
            name=name,
            architecture=model.architecture,
            hyperparameters=model.config.model_dump(mode="json"),
            classes=classes,
            features=_spec(info),
            temperature=temperature,
            training=training,
            model_sha256=hashlib.sha256(_weights(model)).hexdigest(),
        )
        _check_sizes(model, config)
        card = render_card(config) if results is None else render_card(config, results=results)
        return cls(model.eval(), config, card)

    @classmethod
    def load(cls, path: str | Path | None = None) -> Bundle:
        """Read a bundle.

        Parameters
        ----------
        path
            Folder or zip; None: the demonstration bundle of the package.

        Raises
        ------
        BundleError
            There is none, a file is missing, damaged or too large, or the files do not fit together.
        """
        path = DEMO_FOLDER if path is None else Path(path)
        files = read_files(path)
        try:
            return cls._from_files(files)
        except BundleError as error:
            raise BundleError(error.what, where=path, remedy=error.remedy or GET_AGAIN) from error

    @classmethod
    def _from_files(cls, files: dict[str, bytes]) -> Bundle:
        try:
            config = BundleConfig.from_json(files[CONFIG_FILE])
        except BundleError as error:
            raise BundleError(f"{CONFIG_FILE} is not the configuration of a bundle ({error.what})") from error
        if hashlib.sha256(files[MODEL_FILE]).hexdigest() != config.model_sha256:
            raise BundleError(f"{MODEL_FILE} is damaged: its SHA-256 is not the one in {CONFIG_FILE}")
        try:
            card = files[CARD_FILE].decode()
        except UnicodeDecodeError as error:
            raise BundleError(f"{CARD_FILE} is damaged: not UTF-8 text") from error
        if not card.strip():
            raise BundleError(f"{CARD_FILE} is empty")
        return cls(_restore(config, files[MODEL_FILE]), config, card)

    def save(self, path: str | Path) -> None:
        """Write the bundle; the same bundle gives the same bytes.

        Parameters
        ----------
        path
            A zip if it ends in ``.zip``, else a folder. A bundle that is there is replaced.

        Raises
        ------
        BundleError
            Something else is there, it cannot be written, or the model was changed since the bundle was made.
        """
        weights = _weights(self.model)
        if hashlib.sha256(weights).hexdigest() != self.config.model_sha256:
            raise BundleError("the model was changed after the bundle was made", where=self.config.name)
        files = {CONFIG_FILE: self.config.to_json(), CARD_FILE: self.card.encode(), MODEL_FILE: weights}
        write_files(Path(path), files)

    @property
    def hash(self) -> str:
        """SHA-256 that identifies weights and configuration."""
        return self.config.hash

    @property
    def label(self) -> str:
        """Name and beginning of the hash, for instance ``demo@0a1b2c3d``."""
        return f"{self.config.name}@{self.hash[:8]}"

    @property
    def extractor_id(self) -> str:
        """Id of the extractor whose features the model takes."""
        return self.config.features.extractor

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return self.config.classes

    @property
    def is_demo(self) -> bool:
        """Whether the model was trained on artificial slides only."""
        return self.config.training.artificial

    @property
    def notice(self) -> str:
        """The sentence that has to stand beside every output."""
        return notice_of(self.config)

    def facts(self) -> dict[str, object]:
        """What a run record keeps of the model, ready for JSON."""
        config = self.config.model_dump(mode="json", exclude={"format"})
        return {"label": self.label, "sha256": self.hash, "notice": self.notice, **config}

    def check_features(self, info: FeatureInfo | FeatureSpec) -> None:
        """Refuse features that the model was not trained on.

        Raises
        ------
        BundleMismatchError
            Extractor, weights, dimension, tile or preprocessing differ; the message names both sides.
        """
        differences = self.config.features.differences(_spec(info))
        if differences:
            raise BundleMismatchError(
                f"the model was trained on other features than these (model, features: {'; '.join(differences)})",
                where=self.label,
                remedy=f"Use the extractor {self.extractor_id!r} that the model was trained with, or another model.",
            )

    def probabilities(self, bag: Bag) -> NDArray[np.float32]:
        """Class probabilities of one bag, shape (c,), float32.

        Raises
        ------
        ModelError
            The features have another dimension than the model's.
        """
        return self._calibrated(self.model.judge(bag)[0])

    def predict(self, bag: Bag) -> Prediction:
        """Class probabilities of one bag, its attention, and the probabilities of each tile by itself.

        Raises
        ------
        ModelError
            The features have another dimension than the model's.
        """
        logits, attention = self.model.judge(bag)
        tiles = self._calibrated(self.model.judge_tiles(bag.features))
        return Prediction(self._calibrated(logits), attention.numpy(), tiles)

    def explain(self, bag: Bag) -> Explanation:
        """Calibrated probabilities, attention, and evidence for the (uncalibrated) logits of one bag.

        Raises
        ------
        ModelError
            The features have another dimension than the model's.
        """
        explanation = self.model.explain(bag)
        return Explanation(self.probabilities(bag), explanation.attention, explanation.evidence)

    def _calibrated(self, logits: Tensor) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = torch.softmax(logits / self.config.temperature, dim=-1).numpy()
        return probabilities


def _spec(info: FeatureInfo | FeatureSpec) -> FeatureSpec:
    return info if isinstance(info, FeatureSpec) else FeatureSpec.of(info)


def _weights(model: Model) -> bytes:
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    return safetensors.torch.save(state)


def _restore(config: BundleConfig, weights: bytes) -> Model:
    try:
        tensors = safetensors.torch.load(weights)
    except SafetensorError as error:
        raise BundleError(f"{MODEL_FILE} is not a safetensors file ({error})") from error
    # On the meta device the model takes no memory before its sizes are known to be those of the file.
    with torch.device("meta"):
        model = build_model(config.architecture, config.hyperparameters)
    _check_sizes(model, config)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise BundleError(
                f"{MODEL_FILE} and {CONFIG_FILE} do not fit together: "
                f"{name} is {found.get(name, 'missing')}, not {wanted.get(name, 'part of the model')}"
            )
        if tensors[name].dtype != torch.float32 or not tensors[name].isfinite().all():
            raise BundleError(f"{MODEL_FILE} holds values that are not finite float32 numbers ({name})")
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def _check_sizes(model: Model, config: BundleConfig) -> None:
    if model.config.dimension != config.features.dimension:
        raise BundleError(
            f"the model takes {model.config.dimension} features, its extractor makes {config.features.dimension}"
        )
    if model.config.classes != len(config.classes):
        raise BundleError(f"the model has {model.config.classes} classes, {len(config.classes)} are named")
