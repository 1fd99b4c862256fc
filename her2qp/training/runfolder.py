"""The folder of a run: what was asked for, on what, with which versions, and nothing of another run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from her2qp.errors import TrainingError
from her2qp.models.card import ARTIFICIAL_NOTICE, RESEARCH_NOTICE
from her2qp.provenance import now, sha256_of, versions
from her2qp.training.checkpoint import write_atomically, write_json
from her2qp.training.config import TrainingConfig
from her2qp.training.data import LabelledBags

Verb = Literal["train", "crossval"]

CONFIG = "config.yaml"
"""The configuration of a run, every default filled in."""

_RECORD, _LOCK, _SCRATCH = "run.json", ".lock", ".features"
_DECISIVE = ("model", "fit", "protocol")
_LARGEST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run.

    Parameters
    ----------
    path
        Where it is.
    started
        The day on which the run began.
    """

    path: Path
    started: date

    @classmethod
    @contextmanager
    def opened(cls, verb: Verb, config: TrainingConfig, data: LabelledBags) -> Iterator[RunFolder]:
        """Begin a run in its folder, or take up again the one that is there.

        Parameters
        ----------
        verb
            What is run.
        config
            Echoed into the folder, with every default.
        data
            Its digest is kept.

        Raises
        ------
        TrainingError
            The folder holds another run or other things, another process works in it, or it cannot be written.
        """
        path = config.output
        try:
            if path.is_dir() and not (path / _RECORD).exists() and {f.name for f in path.iterdir()} - {_LOCK}:
                raise TrainingError("the folder holds other things than a run", where=path, remedy="Give another one.")
            path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path / _LOCK, timeout=0)
            lock.acquire()
        except Timeout:
            raise TrainingError("another process works in this folder", where=path) from None
        except OSError as error:
            raise TrainingError(f"the folder cannot be written ({error.strerror})", where=path) from error
        try:
            yield cls._begin(path, verb, config, data)
        finally:
            (path / _SCRATCH).unlink(missing_ok=True)
            lock.release()

    @classmethod
    def _begin(cls, path: Path, verb: Verb, config: TrainingConfig, data: LabelledBags) -> RunFolder:
        decisive = {"verb": verb, "data_sha256": data.sha256, **config.model_dump(mode="json", include={*_DECISIVE})}
        record = path / _RECORD
        if record.exists():
            known = read_record(path)
            differing = _first_difference(known.get("decisive"), decisive)
            if differing is not None:
                raise TrainingError(
                    f"the folder holds another run: {differing}",
                    where=path,
                    remedy="Give a folder of its own.",
                )
            started = date.fromisoformat(known["started"][:10])
        else:
            begun = now()
            started = begun.date()
            facts = {"started": begun.isoformat(), "decisive": decisive, **_facts(config, data), "versions": versions()}
            write_json(record, facts)
        write_atomically(path / CONFIG, config.to_yaml().encode())
        return cls(path, started)

    def model_folder(self, number: int) -> Path:
        """Folder of a model by its number, from 1."""
        return self.path / "models" / str(number)

    @property
    def scratch(self) -> Path:
        """A file that may be written while the run goes on; nothing is left of it afterwards."""
        return self.path / _SCRATCH


def is_run(path: Path) -> bool:
    """Whether a folder is that of a run."""
    return (path / _RECORD).is_file()


def read_record(path: Path) -> dict[str, Any]:
    """Read ``run.json`` of a run's folder.

    Raises
    ------
    TrainingError
        There is none, or it is damaged.
    """
    record = path / _RECORD
    try:
        data = record.read_bytes() if record.stat().st_size <= _LARGEST_BYTES else b""
        found = json.loads(data)
        date.fromisoformat(found["started"][:10])
    except OSError as error:
        raise TrainingError(f"this is not the folder of a run ({error.strerror})", where=record) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TrainingError("the record of the run is damaged", where=record) from error
    return dict(found)


def _facts(config: TrainingConfig, data: LabelledBags) -> dict[str, Any]:
    cases = data.cases
    model = config.model.build(data.features.dimension, len(cases.classes))
    return {
        "notice": ARTIFICIAL_NOTICE if config.artificial else RESEARCH_NOTICE,
        "cohort": {
            "path": str(config.cohort),
            "sha256": sha256_of(config.cohort),
            "slides": len(cases),
            "patients": len(set(cases.patients.tolist())),
            "slides_of_class": dict(zip(cases.classes, cases.counts.tolist(), strict=True)),
            "sites": None if cases.sites is None else len(set(cases.sites.tolist())),
        },
        "features": {"source": data.source, **data.features.model_dump(mode="json")},
        "hyperparameters": model.config.model_dump(mode="json"),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "config_sha256": hashlib.sha256(config.to_yaml().encode()).hexdigest(),
    }


def _first_difference(known: object, asked: object, place: str = "") -> str | None:
    """Say the first place at which two JSON documents differ, and how."""
    if isinstance(known, dict) and isinstance(asked, dict):
        names = dict.fromkeys([*known, *asked])
        found = (_first_difference(known.get(n), asked.get(n), f"{place}.{n}".lstrip(".")) for n in names)
        return next((difference for difference in found if difference is not None), None)
    if known == asked:
        return None
    if place == "data_sha256":
        return "cohort or features were others"
    return f"{place} was {known}, now {asked}"
