"""What of her2qp's surroundings is there: QuPath, Java, readers, extractors, devices."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from her2qp.machine import processors
from her2qp.provenance import versions


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for.

    Parameters
    ----------
    subject
        What it is.
    ok
        Whether it is there.
    detail
        What was found.
    remedy
        How to get what is missing; empty if nothing is needed.
    """

    subject: str
    ok: bool
    detail: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON."""
        return asdict(self)


def diagnose() -> list[Finding]:
    """Look for everything that her2qp can use. Starts no Java virtual machine and reaches no network."""
    return [*_versions(), *_qupath(), *_devices(), *_readers(), *_runtimes(), *_extractors(), _model()]


def _versions() -> Iterator[Finding]:
    found = versions()
    yield Finding("her2qp", True, ", ".join(f"{name} {version}" for name, version in found.items()))


def _qupath() -> Iterator[Finding]:
    from her2qp.errors import QuPathNotFoundError
    from her2qp.qupath.paquo.installation import find_installation

    try:
        installed = find_installation()
    except QuPathNotFoundError as error:
        yield Finding(
            "QuPath",
            False,
            f"{error.what}; projects are read and written in pure Python (native store)",
            "Optional. Set PAQUO_QUPATH_DIR, or download one: paquo get_qupath --install-path DIR 0.7.0",
        )
    else:
        yield Finding("QuPath", True, f"{installed.version} in {installed.app_folder} (paquo store)")
    java = shutil.which("java")
    detail = "none on the path; QuPath brings its own" if java is None else _first_line([java, "-version"])
    yield Finding("Java", True, detail)


def _first_line(command: list[str]) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - found on PATH
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run ({type(error).__name__})"
    return (run.stdout or run.stderr).strip().partition("\n")[0]


def _devices() -> Iterator[Finding]:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("devices", True, ", ".join([f"CPU with {processors()} cores", *names]))


def _readers() -> Iterator[Finding]:
    yield Finding("slides", True, "tiffslide: SVS, generic tiled TIFF, SCN, BIF, OME-TIFF; PNG and JPEG fields")
    there = importlib.util.find_spec("openslide") is not None
    yield Finding(
        "slides (openslide)",
        there,
        "MIRAX, NDPI, VMS, DICOM and more" if there else "absent: no MIRAX, VMS or DICOM, NDPI only in part",
        "" if there else 'pip install "her2qp[openslide]"',
    )


def _runtimes() -> Iterator[Finding]:
    for package, title in (("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")):
        there = importlib.util.find_spec(package) is not None
        yield Finding(
            f"runtime {title}",
            there,
            "there" if there else "absent: features are computed by PyTorch, several times slower on a CPU",
            "" if there else 'pip install "her2qp[fast]"',
        )


def _extractors() -> Iterator[Finding]:
    from her2qp.features import list_extractors

    for listing in list_extractors():
        detail = f"{listing.info.dimension} features, {listing.info.licence}. {listing.info.note}"
        yield Finding(f"extractor {listing.id}", listing.available, detail, listing.how_to_get or "")


def _model() -> Finding:
    from her2qp.errors import BundleError
    from her2qp.models.bundle import Bundle

    try:
        bundle = Bundle.load(None)
    except BundleError as error:
        return Finding("demonstration model", False, str(error), "Reinstall her2qp.")
    return Finding("demonstration model", True, f"{bundle.label}. {bundle.notice}")
