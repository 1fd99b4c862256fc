"""Run records: one JSON file a run, beside the project's data, that says what was done, with what, and what came of it.

They lie in ``<project>/her2qp/runs/``. Later runs read them to tell what earlier ones wrote; a person reads them to
know where a result comes from.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from her2qp.provenance import now
from her2qp.qupath.transaction import ProjectLock
from her2qp.qupath.transaction.disk import access_errors, file_digest, signature, write_atomically
from her2qp.qupath.transaction.lock import PATIENCE_S
from her2qp.qupath.transaction.places import PRIVATE_FOLDER, private_folder
from her2qp.scoring.vocabulary import RUN_KEY

_FILE_NAME = re.compile(r"(\d{4,9})-\d{8}T\d{6}Z\.json")
_MAX_RECORD_BYTES = 256 * 2**20


class Publisher(Protocol):
    """What changes files together: a transaction, or a step of one."""

    def publish(self, relative: str, *, expected: str, write: Callable[[Path], object]) -> bool:
        """Replace the file `relative`, whose digest is `expected`, by what `write` makes."""


@dataclass(frozen=True, slots=True)
class RunId:
    """Name of a run: a number that grows within the project, and when it began."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class LastResult:
    """How the last run that changed her2qp's result in an image left it.

    Parameters
    ----------
    by
        That run.
    run
        The run whose result it is; None if there is none any more.
    tiles
        Number of its tiles.
    at
        When, as text that sorts.
    """

    by: str
    run: str | None
    tiles: int
    at: str

    def to_json(self) -> dict[str, Any]:
        """Return what the record of the run says of it."""
        return {"result_of": self.run, "result_tiles": self.tiles, "result_at": self.at}


@dataclass(frozen=True, slots=True)
class History:
    """What the records of a project say that earlier runs wrote.

    Parameters
    ----------
    regions
        Image id to the ids of the annotations that tiles were made for.
    measurements
        Image id to the names of the measurements written, by number of the run and id of the annotation or core.
    metadata
        Image id and run id to the metadata written.
    results
        Image id to how the last run left it.
    classes_added
        Names of the classes that runs added to the project's class list.
    """

    regions: dict[int, dict[UUID, None]] = field(default_factory=dict)
    measurements: dict[int, dict[tuple[float, UUID], frozenset[str]]] = field(default_factory=dict)
    metadata: dict[tuple[int, str], dict[str, str]] = field(default_factory=dict)
    results: dict[int, LastResult] = field(default_factory=dict)
    classes_added: set[str] = field(default_factory=set)

    def regions_of(self, image_id: int) -> list[UUID]:
        """Ids of the annotations that tiles of an image were ever made for."""
        return list(self.regions.get(image_id, ()))

    def metadata_of(self, image_id: int, metadata: Mapping[str, str]) -> dict[str, str] | None:
        """Return the metadata that the run named in an entry's metadata wrote; None where no record says."""
        return self.metadata.get((image_id, metadata.get(RUN_KEY, "")))

    def _add(self, record: Mapping[str, Any]) -> None:
        self.classes_added.update(str(name) for name in record.get("classes_added") or [])
        if record.get("undone"):
            return
        for image in record.get("images") or []:
            regions = self.regions.setdefault(image["id"], {})
            regions.update((UUID(str(text)), None) for text in image.get("region_ids") or [])
            measured = self.measurements.setdefault(image["id"], {})
            for text, names in (image.get("measurements") or {}).items():
                measured[float(record["number"]), UUID(text)] = frozenset(map(str, names))
            if "result_at" in image:
                self._add_result(image, str(record["run"]))
            if image.get("metadata"):
                self.metadata[image["id"], str(record["run"])] = {str(k): str(v) for k, v in image["metadata"].items()}

    def _add_result(self, image: Mapping[str, Any], by: str) -> None:
        run = image["result_of"]
        result = LastResult(by, None if run is None else str(run), int(image["result_tiles"]), str(image["result_at"]))
        known = self.results.get(image["id"])
        if known is None or known.at < result.at:
            self.results[image["id"]] = result


def result_now(by: RunId, *, run: str | None, tiles: int) -> LastResult:
    """The result that run `by` leaves in an image at this moment."""
    return LastResult(by.text, run, tiles, datetime.now(UTC).isoformat(timespec="microseconds"))


class RunRecords:
    """The run records of a project.

    Parameters
    ----------
    folder
        The project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.project_folder = folder
        self.folder = private_folder(folder, "runs")
        self._read: tuple[object, History] = (None, History())

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        found = [f for f in self.folder.iterdir() if _FILE_NAME.fullmatch(f.name)]
        return sorted(found, key=lambda f: (int(f.name.split("-")[0]), f.name))

    def begin(self, command: str) -> RunId:
        """Begin a run: take the next number, so that no other run gets it, by writing a first record.

        Raises
        ------
        ProjectLockedError
            Another process keeps the project locked.
        ProjectAccessError
            The folder cannot be written.
        """
        with ProjectLock(self.project_folder, command, wait_s=PATIENCE_S):
            run = self.next_id()
            started = now().isoformat()
            self.write(run, {"run": run.text, "number": run.number, "command": command, "started": started})
        return run

    def withdraw(self, run: RunId) -> None:
        """Forget a run that changed nothing."""
        with contextlib.suppress(OSError):
            (self.folder / f"{run.text}.json").unlink(missing_ok=True)

    def next_id(self) -> RunId:
        """Return the id that a run would have that begins now."""
        number = 1 + max((int(f.name.split("-")[0]) for f in self._files()), default=0)
        return RunId(number, f"{number:04d}-{now():%Y%m%dT%H%M%SZ}")

    def write(self, run: RunId, record: Mapping[str, Any], *, within: Publisher | None = None) -> Path:
        """Write a record, replacing an earlier state of the same run's.

        Parameters
        ----------
        run, record
            The run, and what to say of it.
        within
            What the record is to appear together with; without it, it appears at once.

        Raises
        ------
        ProjectAccessError
            The folder cannot be written.
        """
        path = self.folder / f"{run.text}.json"
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"

        def fill(beside: Path) -> None:
            beside.write_text(text, "utf-8", "backslashreplace")

        if within is not None:
            within.publish(f"{PRIVATE_FOLDER}/runs/{path.name}", expected=file_digest(path), write=fill)
            return path
        with access_errors(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, fill)
        return path

    def history(self, *, but: RunId | None = None) -> History:
        """What the records say, those read anew that changed since; a damaged one is passed over.

        Parameters
        ----------
        but
            The run that asks, whose own record tells it nothing new.

        Raises
        ------
        ProjectAccessError
            A record cannot be read.
        """
        files = [f for f in self._files() if but is None or f.stem != but.text]
        state = [(f.name, signature(f)) for f in files]
        if self._read[0] != state:
            history = History()
            for record in self._readable(files):
                with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                    history._add(record)
            self._read = state, history
        return self._read[1]

    def mark_undone(self, run: str, *, keeps_classes: bool = False, within: Publisher | None = None) -> None:
        """Note in the record of a run that it was undone, so that later runs do not count on it.

        Parameters
        ----------
        run
            Id of the run.
        keeps_classes
            Whether the classes that it added are still listed, because other runs may use them.
        within
            What the note is to appear together with.
        """
        for record in self._readable(self._files()):
            if record.get("run") == run:
                number = int(run.split("-")[0])
                classes = record.get("classes_added") if keeps_classes else []
                undone = {**record, "undone": now().isoformat(), "classes_added": classes}
                self.write(RunId(number, run), undone, within=within)

    def _readable(self, files: list[Path]) -> Iterator[dict[str, Any]]:
        for path in reversed(files):
            # A record that is there and cannot be read just now must not be taken for none: it says what is ours.
            with access_errors(path), contextlib.suppress(FileNotFoundError, ValueError, RecursionError):
                if path.stat().st_size <= _MAX_RECORD_BYTES:
                    record = json.loads(path.read_text(encoding="utf-8"))
                    if isinstance(record, dict):
                        yield record
