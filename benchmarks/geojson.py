"""GeoJSON of 100,000 tiles with 8 measurements against a plain loop over shapely and ``json``.

Usage: ``python benchmarks/geojson.py [TILES]``

Both write the same tiles, and both files are read in both ways; what was read is compared with what was written. The
loops hold the whole file in memory, as does ``json.load``; her2qp reads a megabyte at a time into arrays. Seconds are
of processor time, the best of three rounds.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np
import shapely
from rich.console import Console
from rich.table import Table

from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.qupath.geojson import load_geojson, read_geojson, write_csv, write_geojson
from her2qp.qupath.objects import TileTable

TILES = 100_000
MEASUREMENTS = 8
ROUNDS = 3


def tile_table(count: int) -> TileTable:
    rng = np.random.default_rng(0)
    corner = np.column_stack((np.arange(count) % 400, np.arange(count) // 400)) * 256.0
    return TileTable(
        ids=rng.integers(0, 256, (count, 16), dtype=np.uint8),
        bounds=np.hstack((corner, corner + 256)),
        classes=tuple(
            PathClass((f"HER2 {level}",), pack_rgb(0, 0, i)) for i, level in enumerate(("0", "1+", "2+", "3+"))
        ),
        class_index=rng.integers(0, 4, count, dtype=np.int32),
        names=tuple(f"Measurement {i}" for i in range(MEASUREMENTS)),
        values=rng.random((count, MEASUREMENTS), dtype=np.float32),
        parent_ids=(None,),
        parent_index=np.zeros(count, np.int32),
    )


def plain_writing(path: Path, tiles: TileTable) -> None:
    features = []
    for row in range(len(tiles)):
        path_class = tiles.classes[tiles.class_index[row]]
        properties = {
            "objectType": "tile",
            "object_type": "tile",
            "classification": {"name": path_class.names[0], "colorRGB": path_class.color},
            "isLocked": False,
            "measurements": [
                {"name": name, "value": float(value)}
                for name, value in zip(tiles.names, tiles.values[row], strict=True)
            ],
        }
        features.append(
            {
                "type": "Feature",
                "id": str(UUID(bytes=tiles.ids[row].tobytes())),
                "geometry": shapely.geometry.mapping(shapely.box(*tiles.bounds[row])),
                "properties": properties,
            }
        )
    with path.open("w", encoding="utf-8") as file:
        json.dump({"type": "FeatureCollection", "features": features}, file)


def plain_reading(path: Path) -> list[object]:
    """Shapes and measurements; classes and ids are left in the text."""
    opener = gzip.open if path.suffix == ".gz" else Path.open
    with opener(path, "rt", encoding="utf-8") as file:
        features = json.load(file)["features"]
    return [(shapely.geometry.shape(one["geometry"]), one["properties"]["measurements"]) for one in features]


def best(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def check_same(read: TileTable, written: TileTable) -> None:
    names = [
        np.array([str(path_class) for path_class in tiles.classes])[tiles.class_index] for tiles in (read, written)
    ]
    same = (read.names == written.names, np.array_equal(*names))
    for column in ("ids", "bounds", "values"):
        same += (np.array_equal(getattr(read, column), getattr(written, column)),)
    if not all(same):
        sys.exit("what was read is not what was written")


def main() -> None:
    tiles = tile_table(int(sys.argv[1]) if len(sys.argv) > 1 else TILES)
    table = Table("work", "plain loop: s", "her2qp: s", "ratio", title=f"{len(tiles):,} tiles, 8 measurements each")

    def add(work: str, slow: float, fast: float) -> None:
        table.add_row(work, f"{slow:.2f}", f"{fast:.2f}", f"{slow / fast:.1f}")

    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.geojson", Path(folder) / "theirs.geojson"
        packed = Path(folder) / "ours.geojson.gz"
        add("write", best(lambda: plain_writing(theirs, tiles), 1), best(lambda: write_geojson(ours, [], tiles)))
        write_geojson(packed, [], tiles)
        for what, path in (("read", ours), ("read, compressed", packed), ("read what the loop wrote", theirs)):
            add(what, best(lambda path=path: plain_reading(path)), best(lambda path=path: load_geojson(path)))
            check_same(load_geojson(path)[1], tiles)
        one_by_one = best(lambda: sum(1 for _ in read_geojson(ours)), 1)
        table.add_row("read as single objects", "", f"{one_by_one:.2f}", "")
        table.add_row("write as CSV", "", f"{best(lambda: write_csv(Path(folder) / 'table.csv', [], tiles)):.2f}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
