"""KAT beside a plain dense implementation of its published formulation, and the graphs of SlideGraph+.

Usage: ``python benchmarks/models.py [--tiles 4096 16384 32768] [--train-tiles 4096 16384] [--dense-up-to 32768]
[--threads 2] [--only kat mixed anchors graph]``

Features of 512 dimensions, tiles of 112 µm, so that a kernel serves 144 of them; weights as they are initialised. Each
figure is measured in a process of its own, on the second call of small inputs, and its peak memory is what the process
took beyond interpreter, model and input. Dense and ours follow each other, so that what else the machine does hits
both. The dense one takes 8 GB for 100,000 tiles, forward only; its training step, by what it takes for 16,384, would
take 100 GB, so above ``--dense-training-up-to`` it is timed in parts: each part of a block forth and back, two heads
at a time, then forgotten. Nothing is computed twice, and at 16,384 tiles parts and whole take the same time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from dense_kat import TrainedInParts, dense_kat, pad

from her2qp.models.anchors import place_anchors
from her2qp.models.bag import Bag
from her2qp.models.kat import KAT, KATConfig
from her2qp.models.tile_graph import GraphConfig, build_graph

DIMENSION, TILE_UM, PUBLISHED_LENGTH = 512, 112.0, 4096
SETTINGS = {"multiply": "faithful", "bias": "corrected"}


@dataclass(frozen=True)
class Timing:
    """Wall clock and processor seconds, peak memory in MB, and what came out."""

    seconds: float
    processor: float
    megabytes: float
    result: list[float]


@dataclass(frozen=True)
class Work:
    """One measurement: which implementation and setting on bags of which lengths, forward or a training step."""

    dense: bool
    mode: str
    tiles: tuple[int, ...]
    training: bool
    threads: int
    length: int | None = None
    in_parts: bool = False


def make_bag(tiles: int, seed: int = 0) -> Bag:
    """Tissue that covers two thirds of a square."""
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(1.5 * tiles)) + 1
    cells = np.sort(rng.choice(side * side, tiles, replace=False))
    places = np.stack(np.divmod(cells, side), axis=1) * TILE_UM
    return Bag(rng.normal(size=(tiles, DIMENSION)).astype(np.float32), places, TILE_UM)


def make_model(mode: str) -> KAT:
    torch.manual_seed(0)
    config = KATConfig.faithful(DIMENSION) if mode == "multiply" else KATConfig.corrected(DIMENSION)
    # One k-means for both settings: anchors are measured by themselves.
    return KAT(config.model_copy(update={"anchors": KATConfig.corrected(DIMENSION).anchors}))


def measure(work: Work) -> Timing:
    """Carry out one measurement; for a process of its own."""
    torch.set_num_threads(work.threads)
    model = make_model(work.mode).train(work.training)
    bags = [model.prepare(make_bag(tiles, seed)) for seed, tiles in enumerate(work.tiles)]
    labels = torch.zeros(len(bags), dtype=torch.int64)
    if work.in_parts:
        return measure_in_parts(model, bags)
    if work.dense:
        forward: Callable[[], torch.Tensor] = partial(dense_kat, model, *pad(bags, work.length or max(work.tiles)))
    else:
        forward = partial(model, model.collate(bags))

    def step() -> torch.Tensor:
        with torch.set_grad_enabled(work.training):
            logits = forward()
        if work.training:
            torch.nn.functional.cross_entropy(logits, labels).backward()
        return logits

    before = peak()
    for _ in range(2 if sum(work.tiles) < 20_000 else 1):
        wall, processor = time.perf_counter(), time.process_time()
        logits = step()
        seconds, processor = time.perf_counter() - wall, time.process_time() - processor
    return Timing(seconds, processor, peak() - before, logits.detach().flatten().tolist())


def measure_in_parts(model: KAT, bags: list[Bag]) -> Timing:
    """A dense training step, its parts by themselves."""
    padded, parts, before = pad(bags, max(map(len, bags))), TrainedInParts(), peak()
    with torch.no_grad():
        logits = dense_kat(model, *padded, part=parts, heads_at_once=2)
    return Timing(parts.seconds, parts.processor, peak() - before, logits.flatten().tolist())


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alone(work: Work) -> Timing:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (work,))


def compare(what: str, dense: Work | None, ours: Work) -> Iterator[str]:
    """One line of the table; a forward pass also says by how much the logits differ."""
    mine = alone(ours)
    line = f"| {what} | {{}} | {mine.seconds:.2f} | {mine.processor:.2f} | {mine.megabytes:,.0f} | {{}} |"
    if dense is None:
        yield line.format("not run | | ", " | ")
        return
    other = alone(dense)
    off = "" if ours.training else f"{np.abs(np.subtract(mine.result, other.result)).max():.0e}"
    ratio = f"{other.seconds / mine.seconds:.1f} ({other.processor / mine.processor:.1f})"
    yield line.format(f"{other.seconds:.2f} | {other.processor:.2f} | {other.megabytes:,.0f}", f"{ratio} | {off}")


def kat_lines(options: argparse.Namespace) -> Iterator[str]:
    yield "| tiles, setting | dense, s | its processor s | MB | her2qp, s | its processor s | MB | ratio | difference |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for training, lengths in ((False, options.tiles), (True, options.train_tiles)):
        for tiles in lengths:
            for mode, name in SETTINGS.items():
                ours = Work(False, mode, (tiles,), training, options.threads)
                in_parts = training and tiles > options.dense_training_up_to
                fits = tiles <= options.dense_up_to
                dense = Work(True, mode, (tiles,), training, options.threads, in_parts=in_parts) if fits else None
                what = f"{tiles:,}, {name}, {'training step' if training else 'forward'}"
                what += " (dense: in parts)" if in_parts and fits else ""
                yield from compare(what, dense, ours)


def mixed_lines(options: argparse.Namespace) -> Iterator[str]:
    yield "| bags, setting | dense, s | its processor s | MB | her2qp, s | its processor s | MB | ratio | difference |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for tiles in ((500,) * 4, (500,) * 7 + (PUBLISHED_LENGTH,)):
        for training in (False, True):
            for mode, name in SETTINGS.items():
                ours = Work(False, mode, tiles, training, options.threads)
                dense = Work(True, mode, tiles, training, options.threads, PUBLISHED_LENGTH)
                bags = " + ".join(f"{tiles.count(n)} of {n:,}" for n in sorted(set(tiles)))
                yield from compare(f"{bags}, {name}, {'training step' if training else 'forward'}", dense, ours)


def anchor_lines(options: argparse.Namespace) -> Iterator[str]:
    yield "| anchors | s | processor s |\n|---|---:|---:|"
    for tiles in (16384, 100_000):
        bag = make_bag(tiles)
        wall, processor = time.perf_counter(), time.process_time()
        anchors = place_anchors(bag.positions_um, TILE_UM, KATConfig.corrected(DIMENSION).anchors)
        seconds, processor = time.perf_counter() - wall, time.process_time() - processor
        yield f"| {len(anchors)} among {tiles:,} tiles | {seconds:.2f} | {processor:.2f} |"


def graph_lines(options: argparse.Namespace) -> Iterator[str]:
    yield "| graph of 20,000 tiles | nodes | s | processor s | MB |\n|---|---:|---:|---:|---:|"
    for tile_um in (128.0, 64.0):
        bag = make_bag(20_000)
        places, before = bag.positions_um / TILE_UM * tile_um, peak()
        wall, processor = time.perf_counter(), time.process_time()
        graph = build_graph(bag.features, places, tile_um, GraphConfig())
        seconds, processor = time.perf_counter() - wall, time.process_time() - processor
        yield f"| of {tile_um:.0f} µm | {graph.nodes:,} | {seconds:.1f} | {processor:.1f} | {peak() - before:,.0f} |"


PARTS = {"kat": kat_lines, "mixed": mixed_lines, "anchors": anchor_lines, "graph": graph_lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, nargs="*", default=[4096, 16384, 32768])
    parser.add_argument("--train-tiles", type=int, nargs="*", default=[4096, 16384])
    parser.add_argument("--dense-up-to", type=int, default=32768)
    parser.add_argument("--dense-training-up-to", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    for part in options.only:
        for line in PARTS[part](options):
            print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
