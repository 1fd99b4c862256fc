"""ONNX Runtime: the network as an ONNX graph, in float32."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from her2qp.errors import ExtractorError
from her2qp.features.runtimes.base import Job, Run, Runtime

_OPSET = 17


def _missing() -> str | None:
    absent = [package for package in ("onnx", "onnxruntime") if find_spec(package) is None]
    return f'{" and ".join(absent)} missing: pip install "her2qp[fast]"' if absent else None


def _build(job: Job) -> Run:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    path = job.folder / "network.onnx"
    if not path.exists():
        _convert(job, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    # Spinning threads wait for work by burning the processor that the slide reader needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (states.Fail, states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf, RuntimeError) as error:
        raise ExtractorError(f"ONNX Runtime refuses the network ({error})", where=job.info.id) from error

    def run(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        return cast("NDArray[np.float32]", session.run(None, {"tiles": tiles})[0])

    return run


def _convert(job: Job, path: Path) -> None:
    """Write the network as ONNX, beside and then in place."""
    beside = path.with_suffix(".part")
    probe = torch.zeros(job.batch_shape, dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # PyTorch's newer exporter needs one package more and gives the same graph.
            torch.onnx.export(
                job.network(),
                (probe,),
                str(beside),
                dynamo=False,
                opset_version=_OPSET,
                input_names=["tiles"],
                output_names=["features"],
            )
    except (RuntimeError, TypeError, ImportError) as error:
        raise ExtractorError(f"the network cannot be written as ONNX ({error})", where=job.info.id) from error
    beside.replace(path)


ONNX = Runtime("onnx", missing=_missing, build=_build)
