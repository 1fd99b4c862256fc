"""Train the demonstration model: a small kernel attention transformer, on artificial slides only.

    python examples/train_demo_model.py --work demo-training --out her2qp/models/demo

It draws artificial H&E slides of known HER2 level, tiles their tumour, extracts features, trains on two thirds of the
slides, picks the best epoch on a sixth, and measures on the last sixth, which it has not seen, beside the majority
class. The seeds are fixed. The slides of `her2qp demo` have other seeds.

The model says nothing about real HER2: it has only ever seen drawings.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import shapely
import torch

from her2qp.features import FeatureStore, extract_features, load_extractor
from her2qp.models.bag import Bag
from her2qp.models.bundle import Bundle
from her2qp.models.bundle_config import Training
from her2qp.models.kat import KAT, KATConfig
from her2qp.provenance import versions
from her2qp.slides import open_slide
from her2qp.slides.artificial import make_artificial_slide
from her2qp.tiling import Region, RegionSet, TileGrid, make_tiles
from her2qp.training.fit import Examples, FitSettings, fit

SEED = 20251121
SIDES_PX = (4096, 5120, 6144)
FOLDS = ("train", "train", "train", "train", "validation", "test")
Drawn = tuple[Path, int, bytes]


def draw(path: Path, level: int, side: int, seed: int) -> Drawn:
    """Draw one slide unless it is there, and return it with its tumour outline as WKB."""
    outline = path.with_suffix(".wkb")
    if not outline.exists():
        made = make_artificial_slide(path, her2_level=level, size=(side, side), seed=seed)
        outline.write_bytes(shapely.to_wkb(made.tumour))
    return path, level, outline.read_bytes()


def draw_all(work: Path, per_level: int) -> list[Drawn]:
    """Draw the cohort on two processes; every slide has a seed of its own."""
    work.mkdir(parents=True, exist_ok=True)
    jobs = [
        (work / f"artificial-{level}-{number:03d}.svs", level, SIDES_PX[number % 3], SEED + 1000 * level + number)
        for number in range(per_level)
        for level in range(4)
    ]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(draw, *job) for job in jobs]
        return [future.result() for future in futures]


def read_bags(drawn: list[Drawn], work: Path) -> tuple[list[Bag], list[int]]:
    """Tile the tumour of each slide and extract features; slides without a tile are left out."""
    extractor = load_extractor()
    store = FeatureStore(work / "features")
    info = extractor.info
    bags, labels = [], []
    for path, level, outline in drawn:
        with open_slide(path) as slide:
            grid = TileGrid(tile_px=info.tile_px, mpp=info.mpp, slide_mpp=0.25)
            region = Region(annotation_id=None, path_class=None, geometry=shapely.from_wkb(outline))
            tiles = make_tiles(slide, RegionSet([region]), grid).tiles
            if len(tiles):
                features = extract_features(slide, tiles, extractor, store).features
                centres = (tiles.bounds[:, :2] + tiles.bounds[:, 2:]) / 2 * 0.25
                bags.append(Bag(features, centres, info.tile_px * info.mpp, name=path.name))
                labels.append(level)
    return bags, labels


def main() -> None:
    """Run the whole recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("demo-training"), help="folder for slides and features")
    parser.add_argument("--out", type=Path, default=Path("her2qp/models/demo"), help="folder of the bundle")
    parser.add_argument("--per-level", type=int, default=24, help="slides for each HER2 level")
    arguments = parser.parse_args()

    bags, labels = read_bags(draw_all(arguments.work, arguments.per_level), arguments.work)
    # Slides come level by level, so every sixth group of four holds one slide of each level.
    fold = np.array([FOLDS[i // 4 % len(FOLDS)] for i in range(len(bags))])
    rows = {name: np.flatnonzero(fold == name) for name in set(FOLDS)}
    part = {name: Examples([bags[i] for i in r], [labels[i] for i in r]) for name, r in rows.items()}

    extractor = load_extractor()
    config = KATConfig(
        dimension=extractor.info.dimension, classes=4, width=48, depth=3, heads=4, head_width=12, mlp_width=96,
        dropout=0.25, mask_mode="bias", residual="pre",
    )  # fmt: skip
    torch.manual_seed(SEED)
    model = KAT(config)
    settings = FitSettings(epochs=200, learning_rate=1e-3, weight_decay=1e-2, batch_size=16, patience=40, seed=SEED)
    fit(model, part["train"], part["validation"], settings)

    test_bags, test_labels = part["test"].bags, part["test"].labels
    predicted = [int(np.argmax(model.judge(bag)[0].numpy())) for bag in test_bags]
    right = sum(p == t for p, t in zip(predicted, test_labels, strict=True))
    off_by_one = sum(abs(p - t) <= 1 for p, t in zip(predicted, test_labels, strict=True))
    majority = max(Counter(test_labels).values())
    results = (
        f"On {len(test_bags)} artificial slides that were not used for training or for choosing the epoch: "
        f"{right} right ({right / len(test_bags):.2f}), {off_by_one} right or one category off; "
        f"always naming one class gives {majority} ({majority / len(test_bags):.2f}).\n\n"
        "These figures are about drawings. Nothing was measured on tissue."
    )
    training = Training(
        data=f"{len(part['train'].bags)} artificial H&E slides drawn by her2qp.slides.artificial "
        f"({len(part['validation'].bags)} more to choose the epoch, {len(test_bags)} to measure); no tissue",
        artificial=True,
        seeds=(SEED,),
        versions=versions(),
        date=datetime.datetime.now(datetime.UTC).date(),
    )
    Bundle.create(model, extractor.info, training, name="demo", results=results).save(arguments.out)
    print(results)


if __name__ == "__main__":
    main()
