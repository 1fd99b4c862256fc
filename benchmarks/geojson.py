"""GeoJSON of 100,000 tiles with 8 measurements against a plain loop over shapely and ``json``.

Usage: ``python benchmarks/geojson.py [TILES]``

Both write the same file and are read by the same reader; what they hold is compared.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np
import shapely

from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.qupath.geojson import read_geojson, write_csv, write_geojson
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


def plain_loop(path: Path, tiles: TileTable) -> None:
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


def best(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def check_same(ours: Path, theirs: Path) -> None:
    for one, other in zip(read_geojson(ours), read_geojson(theirs), strict=True):
        assert (one.id, one.path_class, one.measurements) == (other.id, other.path_class, other.measurements)  # noqa: S101
        assert one.geometry.equals(other.geometry)  # noqa: S101


def main() -> None:
    tiles = tile_table(int(sys.argv[1]) if len(sys.argv) > 1 else TILES)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.geojson", Path(folder) / "theirs.geojson"
        packed, table = Path(folder) / "ours.geojson.gz", Path(folder) / "ours.csv"
        fast, slow = best(lambda: write_geojson(ours, [], tiles)), best(lambda: plain_loop(theirs, tiles))
        print(f"{len(tiles)} tiles: her2qp {fast:.2f} s, plain loop {slow:.2f} s, ratio {slow / fast:.1f}")
        print(f"compressed {best(lambda: write_geojson(packed, [], tiles), 1):.2f} s, "
              f"as a table {best(lambda: write_csv(table, [], tiles), 1):.2f} s")  # fmt: skip
        reading = best(lambda: sum(1 for _ in read_geojson(ours)), 1)
        print(f"reading {reading:.2f} s, {len(tiles) / reading:.0f} objects/s")
        check_same(ours, theirs)


if __name__ == "__main__":
    main()
