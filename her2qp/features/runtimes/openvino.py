"""OpenVINO: usually the fastest on processors, in float32.

bfloat16, OpenVINO's own choice on the processors that have it, is switched off: with eight bits of mantissa it
misses the tolerance by far.
"""

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


def _missing() -> str | None:
    return None if find_spec("openvino") else 'openvino missing: pip install "her2qp[fast]"'


def _build(job: Job) -> Run:
    import openvino

    path = job.folder / "network.xml"
    if not path.exists():
        _convert(job, path)
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": job.threads,
    }
    try:
        compiled = openvino.Core().compile_model(path, "CPU", settings)
    except RuntimeError as error:
        raise ExtractorError(f"OpenVINO refuses the network ({error})", where=job.info.id) from error
    request = compiled.create_infer_request()

    def run(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        return cast("NDArray[np.float32]", request.infer({0: tiles}, share_inputs=True)[0])

    return run


def _convert(job: Job, path: Path) -> None:
    """Write the network in OpenVINO's format, the ``.xml`` last because it is what :func:`_build` looks for."""
    import openvino

    probe = torch.zeros(job.batch_shape, dtype=torch.uint8)
    beside = path.with_name("converting.xml")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(job.network(), probe)  # type: ignore[no-untyped-call]
            graph = openvino.convert_model(traced, example_input=probe, input=[openvino.PartialShape(job.batch_shape)])
        openvino.save_model(graph, beside, compress_to_fp16=False)
    except RuntimeError as error:
        raise ExtractorError(f"the network cannot be converted for OpenVINO ({error})", where=job.info.id) from error
    beside.with_suffix(".bin").replace(path.with_suffix(".bin"))
    beside.replace(path)


OPENVINO = Runtime("openvino", missing=_missing, build=_build)
