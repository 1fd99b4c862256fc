"""The ``data.qpdata`` of an image on disk: what was read of it, and whether it still is that."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from her2qp.errors import CrashedSaveError, DataFileError, ProjectChangedError, UnsupportedDataError
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.transaction.disk import Signature, access_errors, digest, file_digest, signature


class DataFile:
    """A data file, of which the first reading that is to lead to a change is remembered.

    Parameters
    ----------
    path
        Where it is; absent for an image that was never saved.
    create
        Makes the data of an image that was never saved.
    """

    def __init__(self, path: Path, create: Callable[[], QpData]) -> None:
        self.path = path
        self._create = create
        self._content: QpData | None = None
        self._seen: str | None = None
        self._signature: Signature = ()

    def read(self, *, to_change: bool) -> QpData:
        """Read it to its end.

        Parameters
        ----------
        to_change
            Whether a change may follow: then :meth:`take` refuses a file that is not the one read here first.

        Raises
        ------
        CrashedSaveError
            QuPath did not finish saving the image and what is left cannot be read.
        DataFileError
            The file cannot be read to its end.
        """
        self._signature = signature(self.path)
        data = self._bytes()
        if not to_change or self._seen is not None:
            self._content = self._parse(data)
            return self._content
        with ThreadPoolExecutor(1) as pool:
            seen = pool.submit(digest, data)
            self._content = self._parse(data)
            self._seen = seen.result()
        return self._content

    def take(self) -> tuple[QpData, str]:
        """What it holds, for the caller to change, and the digest of its bytes.

        Raises
        ------
        CrashedSaveError
            QuPath did not finish saving the image.
        ProjectChangedError
            Somebody else changed it since it was read.
        DataFileError
            It cannot be read to its end.
        """
        self.refuse_crashed_save()
        content, present = self._content, self._seen
        if content is None or present is None or self._signature != signature(self.path):
            data = self._bytes()
            present = digest(data)
            if self._seen not in (None, present):
                raise ProjectChangedError(
                    "somebody else changed the image after it was read",
                    where=self.path,
                    remedy="Close the project in QuPath and run again.",
                )
            content = self._parse(data)
        self._content = None
        return content, present

    def release(self) -> None:
        """Let go of what was read, but for what tells whether the file was changed since."""
        self._content = None

    def forget(self) -> None:
        """Let the next reading be the first."""
        self._content = self._seen = None

    @property
    def is_as_read(self) -> bool:
        """Whether its bytes are those of the first reading."""
        return self._seen == file_digest(self.path)

    def refuse_crashed_save(self, cause: DataFileError | None = None) -> None:
        """Raise :class:`CrashedSaveError` if QuPath left the backup that it makes while it saves."""
        backup = self.path.with_name(self.path.name + ".bkp")
        if backup.exists():
            raise CrashedSaveError(
                "QuPath did not finish saving this image",
                where=backup,
                remedy="`her2qp doctor PROJECT` tells what is left of it, and with --repair puts it right.",
            ) from cause

    def _bytes(self) -> bytes | None:
        """Its bytes, None where the image has none."""
        try:
            with access_errors(self.path):
                return self.path.read_bytes()
        except FileNotFoundError:
            self.refuse_crashed_save()
            return None

    def _parse(self, data: bytes | None) -> QpData:
        if data is None:
            return self._create()
        try:
            return QpData.from_bytes(data, where=self.path)
        except UnsupportedDataError:
            raise
        except DataFileError as error:
            self.refuse_crashed_save(error)
            raise
