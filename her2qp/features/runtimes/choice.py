"""Which runtime computes: the fastest of those that agree with eager PyTorch, found by trying.

The trial takes some seconds, so its outcome is remembered, in a folder for each extractor, machine and set of
versions, together with the converted network and the eager features of the probe batch. Every later start runs the
probe batch once and compares: a remembered network that no longer gives the right features is thrown away.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import platform
import shutil
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import ExtractorError
from her2qp.features.runtimes.base import Job, Run, Runtime
from her2qp.features.runtimes.eager import COMPILED, EAGER
from her2qp.features.runtimes.onnx import ONNX
from her2qp.features.runtimes.openvino import OPENVINO
from her2qp.features.runtimes.probe import TOLERANCE, difference, probe_tiles, tiles_per_second

_log = logging.getLogger(__name__)

RUNTIMES: dict[str, Runtime] = {runtime.name: runtime for runtime in (EAGER, COMPILED, ONNX, OPENVINO)}

AUTO = "auto"

_TRIED = ("eager", "onnx", "openvino")
"""What ``auto`` tries. Compiling takes a minute in every process, more than it saves on most slides."""

_VERSIONED = ("her2qp", "torch", "onnx", "onnxruntime", "openvino")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A runtime that is ready and agrees with eager PyTorch.

    Parameters
    ----------
    name
        Name of the runtime.
    run
        The runtime.
    reason
        Why this one, as a sentence.
    """

    name: str
    run: Run
    reason: str


def choose_runtime(job: Job, wanted: str) -> Chosen:
    """Make a runtime ready.

    Parameters
    ----------
    job
        What is to be run. Its `folder` is the common one of all extractors; what belongs to this job alone goes
        into a subfolder.
    wanted
        Name of a runtime, or ``auto`` for the fastest.

    Raises
    ------
    ExtractorError
        There is no runtime of this name, it cannot be used here, or it misses the tolerance.
    """
    if wanted not in (AUTO, *RUNTIMES):
        what = f"there is no runtime `{wanted}`"
        raise ExtractorError(what, where=job.info.id, remedy=f"Known are: {', '.join((AUTO, *RUNTIMES))}.")
    key = hashlib.sha256(repr(_circumstances(job)).encode()).hexdigest()
    job = replace(job, folder=_made(job.folder / f"{job.info.id}.{key[:16]}"))
    was_there = any(job.folder.iterdir())
    try:
        return _ready(job, wanted)
    except ExtractorError:
        if not was_there:
            raise
    _log.warning("%s: what is remembered about runtimes here is of no use; trying them again", job.folder)
    shutil.rmtree(job.folder, ignore_errors=True)
    return _ready(replace(job, folder=_made(job.folder)), wanted)


def _circumstances(job: Job) -> tuple[str | int, ...]:
    """Everything that a measurement or a converted network depends on."""
    machine = (platform.node(), platform.machine(), platform.processor(), job.threads)
    return (job.info.fingerprint, job.batch_size, *machine, *(_version(package) for package in _VERSIONED))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _made(folder: Path) -> Path:
    """The folder, or a temporary one where it cannot be made: a cache must not stop a run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _log.warning("%s cannot be made (%s); nothing about runtimes will be remembered", folder, error)
        return Path(tempfile.mkdtemp(prefix="her2qp-"))
    return folder


def _ready(job: Job, wanted: str) -> Chosen:
    tiles = probe_tiles(job)
    reference = _reference(job, tiles)
    if wanted != AUTO:
        return Chosen(wanted, _verified(RUNTIMES[wanted], job, tiles, reference), f"{wanted}, as asked for")
    remembered = _remembered(job)
    if remembered is None:
        return _fastest(job, tiles, reference)
    name, reason = remembered
    return Chosen(name, _verified(RUNTIMES[name], job, tiles, reference), f"{reason} (measured earlier)")


def _reference(job: Job, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Eager features of the probe batch."""
    path = job.folder / "reference.npy"
    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
    except (OSError, ValueError, EOFError):
        reference = _eager_features(job, tiles)
    with contextlib.suppress(OSError):
        np.save(path, reference)
    return reference


def _eager_features(job: Job, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features by eager PyTorch, after a look at whether they are what the extractor promises."""
    try:
        features = EAGER.build(job)(tiles)
    except RuntimeError as error:
        raise ExtractorError(f"the network cannot process a tile ({error})", where=job.info.id) from error
    expected = (job.batch_size, job.info.dimension)
    if features.shape != expected:
        what = f"the network gives features of shape {features.shape} where {expected} is promised"
        raise ExtractorError(what, where=job.info.id, remedy="Correct `dimension` in its description.")
    if not np.isfinite(features).all():
        raise ExtractorError("the network gives features that are not finite numbers", where=job.info.id)
    return features


def _verified(runtime: Runtime, job: Job, tiles: NDArray[np.uint8], reference: NDArray[np.float32]) -> Run:
    """The runtime, after it has shown that it agrees with eager PyTorch.

    Raises
    ------
    ExtractorError
        It does not, or it cannot be used here.
    """
    missing = runtime.missing()
    if missing is not None:
        raise ExtractorError(f"the runtime `{runtime.name}` cannot be used here", where=job.info.id, remedy=missing)
    run = runtime.build(job)
    try:
        error = difference(run(tiles), reference)
    except RuntimeError as failure:  # a converted network of other circumstances, or one the processor cannot run
        raise ExtractorError(f"the runtime `{runtime.name}` does not run ({failure})", where=job.info.id) from failure
    if error > TOLERANCE:
        what = f"the runtime `{runtime.name}` differs from eager PyTorch by {error:.1e} (at most {TOLERANCE:g})"
        raise ExtractorError(what, where=job.info.id, remedy="Use the runtime `eager`.")
    return run


def _fastest(job: Job, tiles: NDArray[np.uint8], reference: NDArray[np.float32]) -> Chosen:
    """Try all, remember the fastest."""
    runs: dict[str, Run] = {}
    for name in _TRIED:
        try:
            runs[name] = _verified(RUNTIMES[name], job, tiles, reference)
        except ExtractorError as error:
            _log.info("%s", error)
    if not runs:
        raise ExtractorError("no runtime gives the same features as eager PyTorch twice", where=job.info.id)
    speeds = tiles_per_second(runs, tiles)
    best = max(speeds, key=speeds.__getitem__)
    reason = "tiles/s: " + ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items())
    with contextlib.suppress(OSError):
        (job.folder / "choice.json").write_text(json.dumps({"runtime": best, "reason": reason}), encoding="utf-8")
    return Chosen(best, runs[best], reason)


def _remembered(job: Job) -> tuple[str, str] | None:
    """Runtime and reason of an earlier choice."""
    try:
        choice = json.loads((job.folder / "choice.json").read_text(encoding="utf-8"))
        name, reason = str(choice["runtime"]), str(choice["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (name, reason) if name in _TRIED else None
