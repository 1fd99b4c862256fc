"""The extractors that her2qp knows, by name or by file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from her2qp.errors import ExtractorError
from her2qp.features import efficientnet
from her2qp.features.cache import cache_folder
from her2qp.features.extractor import Extractor
from her2qp.features.info import ExtractorInfo, ExtractorListing
from her2qp.features.network import TileNetwork
from her2qp.features.runtimes.base import Job
from her2qp.features.runtimes.eager import build_eager

DEFAULT_EXTRACTOR = efficientnet.INFO.id
BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class _Source:
    info: ExtractorInfo
    how_to_get: Callable[[], str | None]
    load: Callable[[], tuple[ExtractorInfo, nn.Module]]


_SOURCES = {efficientnet.INFO.id: _Source(efficientnet.INFO, efficientnet.how_to_get, efficientnet.load)}


def list_extractors() -> list[ExtractorListing]:
    """All extractors that have a name, and what is missing to use them here."""
    return [ExtractorListing(source.info, source.how_to_get()) for source in _SOURCES.values()]


def load_extractor(id_or_path: str = DEFAULT_EXTRACTOR, *, runtime: str = "auto") -> Extractor:
    """Load an extractor."""
    source = _SOURCES.get(id_or_path)
    if source is None:
        what = f"there is no extractor `{id_or_path}`"
        raise ExtractorError(what, remedy=f"Known are: {', '.join(_SOURCES)}.")
    info, backbone = source.load()
    network = TileNetwork(info, backbone).eval()
    job = Job(info, network, BATCH_SIZE, len(os.sched_getaffinity(0)), cache_folder())
    return Extractor(info, "eager", build_eager(job), BATCH_SIZE, "eager")
