"""The names that her2qp writes into a project: measurements, metadata keys, classes and their colours.

A class named ``1+``, ``Positive`` or ``Negative``, or derived from one, makes QuPath compute a pseudo H-score from H&E
tiles, so the classes of tiles are base classes named ``HER2 1+``, ``HER2 positive`` and so on.
"""

from __future__ import annotations

from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.scheme import Scheme

_BLUE, _GOLD, _ORANGE, _RED = (112, 146, 190), (255, 215, 0), (225, 150, 50), (200, 50, 50)
_COLOURS = {"0": _BLUE, "1+": _GOLD, "2+": _ORANGE, "3+": _RED, "low": _GOLD, "negative": _BLUE, "positive": _RED}

TILE_CLASSES = {name: PathClass((f"HER2 {name}",), pack_rgb(*rgb)) for name, rgb in _COLOURS.items()}
"""Class of a tile by the most probable of the model's classes, for those of every scheme.

Grades from 1+ on have the colours that QuPath gives intensities under Tumor.
"""

ATTENTION = "HER2 attention"
ATTENTION_RAW = "HER2 attention raw"
REGION_FRACTION = "Region fraction"
TISSUE_FRACTION = "Tissue fraction"


def probability_name(name: str) -> str:
    """Name of the measurement or metadata key that holds the probability of a class: ``HER2 p(1+)``."""
    return f"HER2 p({name})"


def tile_measurements(scheme: Scheme) -> tuple[str, ...]:
    """Measurements of a tile detection, in this order; counts of cells come after them where they are asked for."""
    return (ATTENTION, ATTENTION_RAW, *map(probability_name, scheme.classes), REGION_FRACTION, TISSUE_FRACTION)


_PROBABILITIES = tuple(probability_name(name) for name in TILE_CLASSES)


def cell_count_name(path_class: PathClass | None = None) -> str:
    """Name of a tile's number of cells, of all or of a class: ``Num cells``, ``Num cells: Tumor``.

    QuPath's own ``Num Tumor`` counts the children of an annotation; the names differ so as not to be mistaken for it.
    """
    return "Num cells" if path_class is None else f"Num cells: {path_class}"


def per_area(count_name: str) -> str:
    """Name of the density that belongs to a count, as QuPath spells it: ``Num cells per mm^2``."""
    return f"{count_name} per mm^2"


REGION_TILES = "HER2 tiles"
REGION_ATTENTION_SHARE = "HER2 attention share"
REGION_RUN = "HER2 run"
REGION_MEASUREMENTS = (*_PROBABILITIES, REGION_TILES, REGION_ATTENTION_SHARE, REGION_RUN)
"""Measurements that a model of some scheme adds to an annotation or TMA core.

A core, being a case of its own, has no attention share. ``HER2 run`` marks the others as written by her2qp.
"""

PREDICTED_KEY = "HER2 predicted"
GROUP_KEY = "HER2 group"
CORES_KEY = "HER2 cores"
STATUS_KEY = "HER2 status"
MODEL_KEY = "HER2 model"
RUN_KEY = "HER2 run"
METADATA_KEYS = (
    PREDICTED_KEY,
    *_PROBABILITIES,
    GROUP_KEY,
    CORES_KEY,
    STATUS_KEY,
    MODEL_KEY,
    RUN_KEY,
)
"""Metadata keys that a model of some scheme gives an image entry. ``HER2 run`` marks the others as written by her2qp.

An image of one case has a prediction; a tissue microarray, whose cores are of different patients, has ``HER2 cores``
instead: how many cores were predicted to be of each class.
"""

RESEARCH_USE = (
    "For research use only. Not a medical device. Not for diagnosis or treatment decisions; does not replace IHC or "
    "ISH. Estimates the HER2 IHC category from H&E morphology."
)
"""Printed wherever a result is shown."""
