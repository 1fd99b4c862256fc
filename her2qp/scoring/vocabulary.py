"""The names that her2qp writes into a project: measurements, metadata keys, classes and their colours.

A class named ``1+`` or derived from one makes QuPath compute a pseudo H-score from H&E tiles, so the grades are base
classes named ``HER2 1+`` and so on.
"""

from __future__ import annotations

from her2qp.qupath.classes import PathClass, pack_rgb

GRADES = ("0", "1+", "2+", "3+")
"""IHC grades in order, as ASCO/CAP names them."""

GRADE_CLASSES = {
    "0": PathClass(("HER2 0",), pack_rgb(112, 146, 190)),
    "1+": PathClass(("HER2 1+",), pack_rgb(255, 215, 0)),
    "2+": PathClass(("HER2 2+",), pack_rgb(225, 150, 50)),
    "3+": PathClass(("HER2 3+",), pack_rgb(200, 50, 50)),
}
"""Class of a tile by its most probable grade; from 1+ on in the colours QuPath gives intensities under Tumor."""

GROUPS = {"0": "0", "1+": "low", "2+": "equivocal: ISH", "3+": "positive"}
"""Treatment group by IHC grade (ASCO/CAP 2018; HER2-low: 1+, or 2+ without amplification, hence ISH decides a 2+)."""

ATTENTION = "HER2 attention"
ATTENTION_RAW = "HER2 attention raw"
REGION_FRACTION = "Region fraction"
TISSUE_FRACTION = "Tissue fraction"


def probability_name(grade: str) -> str:
    """Name of the measurement or metadata key that holds the probability of a grade: ``HER2 p(1+)``."""
    return f"HER2 p({grade})"


TILE_MEASUREMENTS = (
    ATTENTION,
    ATTENTION_RAW,
    *(probability_name(grade) for grade in GRADES),
    REGION_FRACTION,
    TISSUE_FRACTION,
)
"""Measurements of a tile detection, in this order; counts of cells come after them where they are asked for."""


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
REGION_MEASUREMENTS = (
    *(probability_name(grade) for grade in GRADES),
    REGION_TILES,
    REGION_ATTENTION_SHARE,
    REGION_RUN,
)
"""Measurements added to an annotation or TMA core; a core, being a case of its own, has no attention share.

``HER2 run`` marks the others as written by her2qp.
"""

PREDICTED_KEY = "HER2 predicted"
GROUP_KEY = "HER2 group"
CORES_KEY = "HER2 cores"
STATUS_KEY = "HER2 status"
MODEL_KEY = "HER2 model"
RUN_KEY = "HER2 run"
METADATA_KEYS = (
    PREDICTED_KEY,
    *(probability_name(grade) for grade in GRADES),
    GROUP_KEY,
    CORES_KEY,
    STATUS_KEY,
    MODEL_KEY,
    RUN_KEY,
)
"""Metadata keys of an image entry. ``HER2 run`` marks the others as written by her2qp.

An image of one case has a prediction; a tissue microarray, whose cores are of different patients, has ``HER2 cores``
instead: how many cores were predicted to be of each grade.
"""

RESEARCH_USE = (
    "For research use only. Not a medical device. Not for diagnosis or treatment decisions; does not replace IHC or "
    "ISH. Estimates the HER2 IHC category from H&E morphology."
)
"""Printed wherever a result is shown."""
