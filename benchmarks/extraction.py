"""Tiles per second of the whole extraction against the network alone, in one run.

    python benchmarks/extraction.py [SLIDE] [--tiles 640] [--rounds 3]

Without a slide, an artificial one is made. "Whole extraction" is read, resample, normalise, network and feature
store (written to a temporary folder). "Network alone" gets tiles that are already in memory; its eager form is what
PyTorch does by default (contiguous float32 images, normalised before the clock starts). The rounds of the candidates
are interleaved and each candidate's best round counts, so that other work on the machine spoils one round, not one
candidate. Converting networks and trying runtimes is not timed: it happens once on a machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from her2qp.errors import ExtractorError
from her2qp.features import Extractor, FeatureStore, efficientnet, extract_features, load_extractor
from her2qp.slides import Slide, open_slide, resolve_mpp
from her2qp.slides.artificial import make_artificial_slide
from her2qp.tiling import TileGrid, Tiles, make_tiles, whole_slide_region

RUNTIMES = ("eager", "onnx", "openvino")
EAGER_TILES = 48


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("slide", type=Path, nargs="?")
    parser.add_argument("--mpp", type=float, help="pixel size of the slide in µm, where the file does not say")
    parser.add_argument("--tiles", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = options.slide or _artificial(Path(scratch))
        with open_slide(path) as slide:
            tiles = _tiles(slide, options.mpp, options.tiles)
            print(f"{path.name}: {len(tiles)} tiles of 256 px at 0.5 µm/px, {torch.get_num_threads()} threads\n")
            _print_table(_measure(_candidates(slide, tiles, Path(scratch)), options.rounds))


def _artificial(folder: Path) -> Path:
    path = folder / "artificial.svs"
    make_artificial_slide(path, her2_level=2, seed=1)
    return path


def _tiles(slide: Slide, mpp: float | None, wanted: int) -> Tiles:
    """The first tiles with tissue, row by row, as a score run would ask for them."""
    slide_mpp = resolve_mpp(None, slide.mpp, mpp, where=slide.path.name)
    grid = TileGrid(tile_px=256, mpp=0.5, slide_mpp=slide_mpp)
    tiles = make_tiles(slide, whole_slide_region([], slide_size=slide.size), grid).tiles
    columns = (tiles.bounds, tiles.region, tiles.region_fraction, tiles.tissue_fraction, tiles.grid)
    return Tiles(*(column[:wanted] for column in columns))


def _candidates(slide: Slide, tiles: Tiles, scratch: Path) -> dict[str, tuple[int, Callable[[], object]]]:
    """What is timed: name, number of tiles, and the work."""
    pixels = slide.read_tiles(tiles.bounds[:EAGER_TILES], 256)
    candidates: dict[str, tuple[int, Callable[[], object]]] = {
        "network alone: eager PyTorch": (len(pixels), _plain_eager(pixels)),
        "reader alone": (len(tiles), lambda: slide.read_tiles(tiles.bounds, 256)),
    }
    for name in RUNTIMES:
        try:
            extractor = load_extractor(runtime=name)
        except ExtractorError as error:
            print(f"{name} left out: {error}")
            continue
        label = "eager, channels last, uint8 in" if name == "eager" else name
        candidates[f"network alone: {label}"] = (len(pixels), lambda run=extractor: run(pixels))
    best = load_extractor(runtime="auto")
    candidates[f"**whole extraction** ({best.runtime})"] = (len(tiles), _whole(slide, tiles, best))
    store = FeatureStore(scratch / "store")
    extract_features(slide, tiles, best, store)
    candidates["second run, from the store"] = (len(tiles), lambda: extract_features(slide, tiles, best, store))
    return candidates


def _plain_eager(pixels: NDArray[np.uint8]) -> Callable[[], object]:
    network = efficientnet.load_backbone()
    images = ((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127.0) / 128.0).contiguous().split(16)

    def run() -> None:
        with torch.inference_mode():
            for batch in images:
                network(batch)

    return run


def _whole(slide: Slide, tiles: Tiles, extractor: Extractor) -> Callable[[], object]:
    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            extract_features(slide, tiles, extractor, FeatureStore(folder))

    return run


def _measure(candidates: dict[str, tuple[int, Callable[[], object]]], rounds: int) -> dict[str, float]:
    """Tiles per second of each candidate's best round, after one round that is not counted."""
    seconds = dict.fromkeys(candidates, float("inf"))
    for round_number in range(rounds + 1):
        for name, (_, run) in candidates.items():
            start = time.perf_counter()
            run()
            if round_number:
                seconds[name] = min(seconds[name], time.perf_counter() - start)
    return {name: count / seconds[name] for name, (count, _) in candidates.items()}


def _print_table(speeds: dict[str, float]) -> None:
    eager = speeds["network alone: eager PyTorch"]
    print("| what | tiles/s | times eager PyTorch |\n|---|---:|---:|")
    for name, speed in speeds.items():
        print(f"| {name} | {speed:.0f} | {speed / eager:.1f} |")


if __name__ == "__main__":
    main()
