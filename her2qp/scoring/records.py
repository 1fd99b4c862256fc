"""Run records: one JSON file a run, beside the project's data, that says what was done, with what, and what came of it.

They lie in ``<project>/her2qp/runs/``. Later runs read them to tell what earlier ones wrote; a person reads them to
know where a result comes from.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from her2qp.errors import ProjectAccessError
from her2qp.provenance import now
from her2qp.scoring.vocabulary import RUN_KEY

_FILE_NAME = re.compile(r"(\d{4,9})-\d{8}T\d{6}Z\.json")
_MAX_RECORD_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class RunId:
    """Name of a run: a number that grows within the project, and when it began."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class History:
    """What the records of a project say that earlier runs wrote.

    Parameters
    ----------
    regions
        Image id to the ids of the annotations that tiles were made for.
    metadata
        Image id and run id to the metadata written.
    classes_added
        Names of the classes that runs added to the project's class list.
    """

    regions: dict[int, dict[UUID, None]] = field(default_factory=dict)
    metadata: dict[tuple[int, str], dict[str, str]] = field(default_factory=dict)
    classes_added: set[str] = field(default_factory=set)

    def regions_of(self, image_id: int) -> list[UUID]:
        """Ids of the annotations that tiles of an image were ever made for."""
        return list(self.regions.get(image_id, ()))

    def metadata_of(self, image_id: int, metadata: Mapping[str, str]) -> dict[str, str] | None:
        """Return the metadata that the run named in an entry's metadata wrote; None where no record says."""
        return self.metadata.get((image_id, metadata.get(RUN_KEY, "")))

    def _add(self, record: Mapping[str, Any]) -> None:
        self.classes_added.update(str(name) for name in record.get("classes_added") or [])
        for image in record.get("images") or []:
            regions = self.regions.setdefault(image["id"], {})
            regions.update((UUID(str(text)), None) for text in image.get("region_ids") or [])
            if image.get("metadata"):
                self.metadata[image["id"], str(record["run"])] = {str(k): str(v) for k, v in image["metadata"].items()}


class RunRecords:
    """The run records of a project.

    Parameters
    ----------
    folder
        The project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "her2qp" / "runs"

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(f for f in self.folder.iterdir() if _FILE_NAME.fullmatch(f.name))

    def next_id(self) -> RunId:
        """Return the id of a run that begins now."""
        number = 1 + max((int(f.name.split("-")[0]) for f in self._files()), default=0)
        return RunId(number, f"{number:04d}-{now():%Y%m%dT%H%M%SZ}")

    def write(self, run: RunId, record: Mapping[str, Any]) -> Path:
        """Write a record, replacing an earlier state of the same run's.

        Raises
        ------
        ProjectAccessError
            The folder cannot be written.
        """
        path = self.folder / f"{run.text}.json"
        beside = path.with_suffix(".tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8", "backslashreplace")
            beside.replace(path)
        except OSError as error:
            raise ProjectAccessError(
                f"the run record cannot be written ({error.strerror})",
                where=path,
                remedy="Check the permissions of the project folder and the free space.",
            ) from error
        return path

    def history(self) -> History:
        """Read all records once; a damaged one is passed over, for records only ever add knowledge."""
        history = History()
        for record in self._readable():
            if not record.get("undone"):
                with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                    history._add(record)
        return history

    def mark_undone(self, run: str) -> None:
        """Note in the record of a run that it was undone, so that later runs do not count on it."""
        for record in self._readable():
            if record.get("run") == run:
                number = int(run.split("-")[0])
                self.write(RunId(number, run), {**record, "undone": now().isoformat()})

    def _readable(self) -> Iterator[dict[str, Any]]:
        for path in reversed(self._files()):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                if path.stat().st_size <= _MAX_RECORD_BYTES:
                    record = json.loads(path.read_text(encoding="utf-8"))
                    if isinstance(record, dict):
                        yield record
