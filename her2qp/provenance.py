"""Where an artefact comes from: versions, hashes, time."""

from __future__ import annotations

import hashlib
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

_PACKAGES = ("numpy", "shapely", "scikit-learn", "torch", "tiffslide", "paquo", "openvino", "onnxruntime")


def version_of(package: str) -> str | None:
    """Version of an installed package, None if it is absent."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def her2qp_version() -> str:
    """Version of her2qp."""
    return version_of("her2qp") or "not installed"


def versions() -> dict[str, str]:
    """Versions of her2qp, Python and the packages that take part in a result."""
    found = {package: version_of(package) for package in _PACKAGES}
    return {
        "her2qp": her2qp_version(),
        "python": platform.python_version(),
        **{package: version for package, version in found.items() if version is not None},
    }


def now() -> datetime:
    """Return the present time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
