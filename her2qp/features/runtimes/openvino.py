"""OpenVINO: usually the fastest on processors, in float32.

Each thread computes tiles of its own, one at a time: the maps of one tile fit into a processor's cache, and threads
that never wait for each other lose nothing to other work on the machine.

bfloat16, OpenVINO's own choice on the processors that have it, is switched off: with eight bits of mantissa it
misses the tolerance by far.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

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
        "NUM_STREAMS": job.threads,
        "INFERENCE_NUM_THREADS": job.threads,
    }
    try:
        compiled = openvino.Core().compile_model(path, "CPU", settings)
    except RuntimeError as error:
        raise ExtractorError(f"OpenVINO refuses the network ({error})", where=job.info.id) from error
    requests = openvino.AsyncInferQueue(compiled, job.threads)

    def keep(request: openvino.InferRequest, output: NDArray[np.float32]) -> None:
        output[:] = request.get_output_tensor(0).data

    requests.set_callback(keep)

    def run(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        features = np.empty((len(tiles), job.info.dimension), dtype=np.float32)
        for row in range(len(tiles)):
            requests.start_async({0: tiles[row : row + 1]}, features[row : row + 1], share_inputs=True)
        requests.wait_all()
        return features

    return run


def _convert(job: Job, path: Path) -> None:
    """Write the network in OpenVINO's format, the ``.xml`` last because it is what :func:`_build` looks for."""
    import openvino

    shape = (1, *job.batch_shape[1:])
    probe = torch.zeros(shape, dtype=torch.uint8)
    beside = path.with_name("converting.xml")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(job.network(), probe)  # type: ignore[no-untyped-call]
            graph = openvino.convert_model(traced, example_input=probe, input=[openvino.PartialShape(shape)])
        openvino.save_model(graph, beside, compress_to_fp16=False)
    except RuntimeError as error:
        raise ExtractorError(f"the network cannot be converted for OpenVINO ({error})", where=job.info.id) from error
    beside.with_suffix(".bin").replace(path.with_suffix(".bin"))
    beside.replace(path)


OPENVINO = Runtime("openvino", missing=_missing, build=_build)
