"""The model card of a bundle: what a reader must know before believing a number."""

from __future__ import annotations

from her2qp.models.bundle_config import BundleConfig

ARTIFICIAL_NOTICE = (
    "Demonstration model, trained on artificial slides or invented labels only: it says nothing about the HER2 status "
    "of real tissue."
)
RESEARCH_NOTICE = "For research use only. Not a medical device. It does not replace IHC or ISH."

TILE_PROBABILITIES = (
    "A tile's probabilities are what the model says of a slide that consists of this tile alone. They are not the "
    "share of the tile's nuclei, not a stain intensity, and their mean over a slide is not the slide's probability."
)
ATTENTION = (
    "Attention says how much of each tile reaches the decision, for whichever class. It sums to 1 over a bag, so its "
    "raw values cannot be compared between slides, and it is not an explanation by itself."
)


def notice_of(config: BundleConfig) -> str:
    """The sentence that has to stand beside every output of a model."""
    return ARTIFICIAL_NOTICE if config.training.artificial else RESEARCH_NOTICE


def render_card(config: BundleConfig, *, results: str = "No result on real slides is known.") -> str:
    """Write the card of a bundle.

    Parameters
    ----------
    config
        Of the bundle.
    results
        What is known of the model's performance, in Markdown.

    Returns
    -------
    Markdown.
    """
    features, training = config.features, config.training
    hyperparameters = "\n".join(f"- {name}: `{value}`" for name, value in config.hyperparameters.items())
    versions = ", ".join(f"{name} {version}" for name, version in training.versions.items())
    return f"""# {config.name}

**{notice_of(config)}**

Estimates HER2 ({", ".join(config.classes)}) of breast cancer from the morphology of H&E slides.
{RESEARCH_NOTICE}

## Input
Features of `{features.extractor}` ({features.dimension} a tile, weights `{features.weights_sha256[:16] or "unknown"}`)
from tiles of {features.tile_px} x {features.tile_px} px at {features.mpp:g} µm/px. Other features are refused.

## Output
{TILE_PROBABILITIES}

{ATTENTION}

Logits are divided by a temperature of {config.temperature:g} before the softmax.

## Training
- Data: {training.data}
- Date: {training.date.isoformat()}
- Seeds: {", ".join(map(str, training.seeds))}
- Versions: {versions}

## Results
{results}

## Architecture
`{config.architecture}`
{hyperparameters}
"""
