"""What names tell: the patient and the tissue source site of TCGA barcodes, and whose slide a file is."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath

_TCGA = re.compile(r"(?<![A-Za-z0-9])(TCGA-([A-Z0-9]{2})-[A-Z0-9]{4})(?![A-Za-z0-9])", re.IGNORECASE)
_CUTS = re.compile(r"[-_. ]+")

_SUFFIXES = (
    ".ome.tiff", ".ome.tif", ".svs", ".tiff", ".tif", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu",
    ".czi", ".vsi", ".dcm", ".qptiff", ".zarr", ".jpeg", ".jpg", ".png", ".h5", ".pt",
)  # fmt: skip


def slide_stem(name: str) -> str:
    """Name of a slide without folder and without the suffix of an image or feature file.

    Dots inside stay: GDC names slides ``TCGA-…-DX1.F6E9A5DF-….svs``.
    """
    file = PurePath(name.replace("\\", "/")).name
    suffix = next((s for s in _SUFFIXES if file.lower().endswith(s) and len(file) > len(s)), "")
    return file[: len(file) - len(suffix)]


def tcga_patient(name: str) -> str | None:
    """Patient of a TCGA barcode (``TCGA-A7-A13E``) at any place in a name; None if there is none."""
    found = _TCGA.search(name)
    return found[1].upper() if found else None


def tcga_site(name: str) -> str | None:
    """Code of the tissue source site of a TCGA barcode (``A7``); None if there is none."""
    found = _TCGA.search(name)
    return found[2].upper() if found else None


def patient_in(name: str, patients: Collection[str]) -> str | None:
    """Say which of the patients a slide is named after.

    Parameters
    ----------
    name
        Of the slide, for instance ``P012_HE_1.svs``.
    patients
        In lower case, for instance ``p012``.

    Returns
    -------
    str or None
        The longest of them that the name begins with, where it ends at the end of the name, or at a dash, underscore,
        dot or blank.
    """
    stem = slide_stem(name).lower()
    ends = [len(stem), *(cut.start() for cut in reversed([*_CUTS.finditer(stem)]))]
    return next((stem[:end] for end in ends if stem[:end] in patients), None)
