"""PyTorch, eager and compiled: always there."""

from __future__ import annotations

from collections.abc import Callable
from shutil import which
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from her2qp.features.runtimes.base import Job, Run, Runtime
from her2qp.machine import torch_threads


def _build_eager(job: Job) -> Run:
    """PyTorch as it is, with the images channels-last in memory (faster for convolutions, same numbers)."""
    return _runner(job.network().to(memory_format=torch.channels_last), job.threads)  # type: ignore[call-overload]


def _build_compiled(job: Job) -> Run:
    """PyTorch compiled by its inductor: about a minute at the first batch, needs a C++ compiler."""
    network = job.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    compiled = cast("Callable[[Tensor], Tensor]", torch.compile(network, dynamic=False))
    return _runner(compiled, job.threads)


def _compiler_missing() -> str | None:
    """What is missing for the compiled runtime; None where nothing is."""
    if any(which(name) for name in ("c++", "g++", "clang++", "cl")):
        return None
    return "The compiled runtime needs a C++ compiler."


def _runner(network: Callable[[Tensor], Tensor], threads: int) -> Run:
    def run(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch_threads(threads), torch.inference_mode():
            features = network(torch.from_numpy(np.ascontiguousarray(tiles)))
        return cast("NDArray[np.float32]", features.numpy())

    return run


EAGER = Runtime("eager", missing=lambda: None, build=_build_eager)
COMPILED = Runtime("compiled", missing=_compiler_missing, build=_build_compiled)
