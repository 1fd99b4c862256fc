"""The files of a bundle on disk, as a folder or a zip, read within bounds and written all or nothing."""

from __future__ import annotations

import io
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from her2qp.errors import BundleError

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CARD_FILE = "card.md"

LARGEST = {CONFIG_FILE: 2**20, CARD_FILE: 2**20, MODEL_FILE: 2**30}
"""The files of a bundle, and how many bytes each may have."""

GET_AGAIN = "Get the bundle again from where it came."
_ZIP_MEMBERS_AT_MOST = 1000
_ZIP_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_INFLATION = 50
"""A member of a zip is refused when it claims to be this many times larger than it is compressed; weights are not."""

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,  # a field that is cut off
    EOFError,
    OSError,
    ValueError,  # a name that is no text, a place before the beginning
    RuntimeError,  # an encrypted member, a version of the format that Python does not know
)


def read_files(path: Path) -> dict[str, bytes]:
    """Read the files of a bundle.

    Parameters
    ----------
    path
        A folder, or a zip that holds the files at its top or in one folder.

    Returns
    -------
    Content by file name, one for each of `LARGEST`.

    Raises
    ------
    BundleError
        There is no bundle, a file is missing, cannot be read or is absurdly large, or the zip is damaged.
    """
    if path.is_dir():
        return {name: _read_from_folder(path / name, limit) for name, limit in LARGEST.items()}
    if not path.is_file():
        raise BundleError("no such model bundle", where=path, remedy="Give a bundle's folder or zip.")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_from_zip(archive, path)
    except _ZIP_ERRORS as error:
        raise BundleError(f"not a readable zip ({error})", where=path, remedy=GET_AGAIN) from error


def _read_from_folder(file: Path, limit: int) -> bytes:
    if not file.is_file():
        raise BundleError(f"{file.name} is missing", where=file.parent, remedy=GET_AGAIN)
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            return _read_bounded(stream, size, limit, file)
    except OSError as error:
        raise BundleError(f"cannot be read ({error.strerror})", where=file) from error


def _read_from_zip(archive: zipfile.ZipFile, path: Path) -> dict[str, bytes]:
    names = archive.namelist()
    if len(names) > _ZIP_MEMBERS_AT_MOST:
        raise BundleError(f"a zip of {len(names)} files is not a model bundle", where=path)
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name.replace("\\", "/")).parts:
            raise BundleError(f"the zip holds a path that leaves its folder: {name!r}", where=path, remedy=GET_AGAIN)
    folder = next((str(PurePosixPath(n).parent) for n in sorted(names) if PurePosixPath(n).name == CONFIG_FILE), ".")
    content = {}
    for name, limit in LARGEST.items():
        member = str(PurePosixPath(folder) / name)
        if member not in names:
            raise BundleError(f"{name} is missing", where=path, remedy=GET_AGAIN)
        info = archive.getinfo(member)
        inflated = min(info.file_size, limit)
        if info.compress_type not in _ZIP_COMPRESSIONS or inflated > _MAX_INFLATION * info.compress_size + 2**20:
            raise BundleError(f"{name} is compressed as no bundle is", where=path, remedy=GET_AGAIN)
        with archive.open(info) as stream:
            content[name] = _read_bounded(stream, info.file_size, limit, path / member)
    return content


def _read_bounded(stream: IO[bytes], size: int, limit: int, where: Path) -> bytes:
    """Read a file that says its size, which need not be true."""
    content = stream.read(min(size, limit) + 1)
    if len(content) > limit:
        raise BundleError(f"larger than {limit >> 20} MiB", where=where, remedy=GET_AGAIN)
    return content


def write_files(path: Path, content: dict[str, bytes]) -> None:
    """Write the files of a bundle: beside the target first, then in its place.

    Parameters
    ----------
    path
        A zip if its name ends so, else a folder. A bundle that is already there is replaced.
    content
        By file name.

    Raises
    ------
    BundleError
        Something else than a bundle is at `path`, or it cannot be written.
    """
    if path.is_dir() and (path.suffix == ".zip" or any(file.name not in LARGEST for file in path.iterdir())):
        raise BundleError("is a folder that holds other things than a model bundle", where=path)
    if path.is_file() and path.suffix != ".zip":
        raise BundleError("is a file, not a folder", where=path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
            if path.suffix == ".zip":
                _write_synced(Path(beside) / path.name, _zipped(content))
                (Path(beside) / path.name).replace(path)
            else:
                _write_folder(Path(beside), path, content)
    except OSError as error:
        raise BundleError(f"cannot be written ({error.strerror})", where=path) from error


def _write_folder(beside: Path, path: Path, content: dict[str, bytes]) -> None:
    new, old = beside / "new", beside / "old"
    new.mkdir()
    for name, data in content.items():
        _write_synced(new / name, data)
    if not path.exists():
        new.rename(path)
        return
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _write_synced(file: Path, data: bytes) -> None:
    with file.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _zipped(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            member = zipfile.ZipInfo(name, date_time=_ZIP_EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, data)
    return buffer.getvalue()
