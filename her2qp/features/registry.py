"""The extractors that her2qp knows, by name or by file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from torch import nn

from her2qp.cachefolder import user_cache
from her2qp.errors import ExtractorError
from her2qp.features import efficientnet, plip, torchscript
from her2qp.features.extractor import Extractor
from her2qp.features.info import ExtractorInfo, ExtractorListing
from her2qp.features.network import TileNetwork
from her2qp.features.runtimes.base import Job
from her2qp.features.runtimes.choice import AUTO, choose_runtime
from her2qp.machine import processors

DEFAULT_EXTRACTOR = efficientnet.INFO.id

BATCH_SIZE = 16
"""Tiles a batch: enough to keep a processor busy, few enough that filling up the last batch costs little."""

MAX_THREADS = 16
"""More threads than this do not help on batches of this size."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where an extractor comes from: `verified_info` checks the weights, `load_backbone` loads them."""

    verified_info: Callable[[], ExtractorInfo]
    load_backbone: Callable[[], nn.Module]

    def network(self, info: ExtractorInfo) -> TileNetwork:
        return TileNetwork(info, self.load_backbone()).eval()


_NAMED = {
    efficientnet.INFO.id: _Source(efficientnet.verified_info, efficientnet.load_backbone),
    plip.INFO.id: _Source(plip.verified_info, plip.load_backbone),
}


def list_extractors() -> list[ExtractorListing]:
    """All extractors that have a name, and what is missing to use them here. Asks no network."""
    return [ExtractorListing(module.INFO, module.how_to_get()) for module in (efficientnet, plip)]


def extractor_info(id_or_path: str | os.PathLike[str] = DEFAULT_EXTRACTOR) -> ExtractorInfo:
    """Say what an extractor is, without its network.

    Parameters
    ----------
    id_or_path
        As for :func:`load_extractor`.

    Raises
    ------
    ExtractorError
        There is no such extractor.
    WeightsNotFoundError
        The weights are not at hand; says how to get them.
    """
    return _source(id_or_path).verified_info()


def load_extractor(
    id_or_path: str | os.PathLike[str] = DEFAULT_EXTRACTOR,
    *,
    runtime: str = AUTO,
    threads: int | None = None,
    batch_size: int = BATCH_SIZE,
) -> Extractor:
    """Load an extractor and make a runtime ready.

    The first time on a machine, ``auto`` tries the runtimes, which takes some seconds; the outcome is remembered.

    Parameters
    ----------
    id_or_path
        Name of an extractor (:func:`list_extractors`), or a TorchScript file with its description beside it
        (:mod:`her2qp.features.torchscript`; such a file is a program that is run).
    runtime
        ``auto``, ``eager``, ``compiled``, ``onnx`` or ``openvino``.
    threads
        Threads that may compute. None: one for each processor that this process may use, at most 16.
    batch_size
        Tiles a batch.

    Raises
    ------
    ExtractorError
        There is no such extractor or runtime, or it misses the tolerance.
    WeightsNotFoundError
        The weights are not at hand; says how to get them.
    """
    source = _source(id_or_path)
    info = source.verified_info()
    job = Job(
        info=info,
        network=cache(partial(source.network, info)),
        batch_size=batch_size,
        threads=threads or min(processors(), MAX_THREADS),
        folder=user_cache() / "runtimes",
    )
    chosen = choose_runtime(job, runtime)
    return Extractor(info, chosen.name, chosen.run, batch_size, chosen.reason)


def _source(id_or_path: str | os.PathLike[str]) -> _Source:
    text = os.fspath(id_or_path)
    if text in _NAMED:
        return _NAMED[text]
    path = Path(text)
    if path.suffix in (*torchscript.SUFFIXES, ".yaml"):
        return _Source(partial(torchscript.verified_info, path), partial(torchscript.load_backbone, path))
    remedy = f"Known are: {', '.join(_NAMED)}, and TorchScript files ({', '.join(torchscript.SUFFIXES)})."
    raise ExtractorError(f"there is no extractor `{text}`", remedy=remedy)
