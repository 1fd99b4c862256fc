"""What Windows and network shares do differently: files open elsewhere, folders that cannot be forced to disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from her2qp.errors import ProjectAccessError
from her2qp.qupath.transaction import Transaction, disk
from her2qp.qupath.transaction.disk import digest

_DATA = "data/1/data.qpdata"


class SharingViolationError(PermissionError):
    """What Windows says when a file is replaced that another program has open."""

    winerror = 32


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(disk, "_PAUSES_S", (0.0,) * 4)
    (tmp_path / _DATA).parent.mkdir(parents=True)
    (tmp_path / _DATA).write_bytes(b"old data")
    return tmp_path


def replace_failing(times: int, error: Callable[[], OSError], target: str) -> Callable[..., None]:
    """`os.replace` that fails `times` times for a file of that name."""
    original, left = os.replace, times

    def replace(source: str | Path, destination: str | Path) -> None:
        nonlocal left
        if Path(destination).name == target and left:
            left -= 1
            raise error()
        original(source, destination)

    return replace


def publish(folder: Path) -> None:
    with Transaction(folder, "1", "score") as run:
        run.publish(_DATA, expected=digest(b"old data"), write=lambda path: path.write_bytes(b"new data"))


def test_a_file_that_is_open_elsewhere_for_a_moment_is_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", replace_failing(3, SharingViolationError, "data.qpdata"))
    publish(folder)
    assert (folder / _DATA).read_bytes() == b"new data"


@pytest.mark.parametrize("error", [SharingViolationError, lambda: OSError(errno.EBUSY, "busy")])
def test_a_file_that_stays_open_elsewhere_is_left_as_it_is_and_the_user_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Callable[[], OSError]
) -> None:
    monkeypatch.setattr(os, "replace", replace_failing(99, error, "data.qpdata"))
    with pytest.raises(ProjectAccessError, match=r"another program has it open\. Close the project in QuPath"):
        publish(folder)
    assert [path.name for path in (folder / "data" / "1").iterdir()] == ["data.qpdata"]
    assert (folder / _DATA).read_bytes() == b"old data"


@pytest.mark.skipif(os.name == "nt", reason="Windows forces no folder to disk")
@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES])
def test_a_share_that_cannot_force_folders_to_disk_is_good_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(code, os.strerror(code))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    publish(folder)
    assert (folder / _DATA).read_bytes() == b"new data"


@pytest.mark.skipif(not hasattr(os, "link"), reason="every file system has second names here")
def test_a_share_without_second_names_keeps_a_copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Path, destination: Path) -> None:
        raise OSError(errno.ENOTSUP, "no second names")

    monkeypatch.setattr(os, "link", link)
    disk.keep_copy(folder / _DATA, folder / "kept")
    publish(folder)
    assert (folder / "kept").read_bytes() == b"old data"
