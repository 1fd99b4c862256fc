"""What the benchmarks of the native store work on: tables of tiles, cells of another tool, projects of many images."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
from PIL import Image
from shapely import Polygon

from her2qp.qupath import create_project, uuids
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.java import MixedRun
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.native.records import read_record
from her2qp.qupath.objects import OBJECT_ID_KEY, ObjectType, PathObject, TileTable
from her2qp.qupath.rois import make_roi

N_MEASUREMENTS = 8
GRADES = tuple(PathClass((f"HER2 {grade}",)) for grade in ("0", "1+", "2+", "3+"))
SLIDE_SIZE = 512


def make_tiles(n: int, seed: int = 0, parent: UUID | None = None) -> TileTable:
    """`n` tiles of four classes with 8 measurements."""
    rng = np.random.default_rng(seed)
    corners = np.column_stack((np.arange(n) % 1000, np.arange(n) // 1000)) * 256.0
    return TileTable(
        ids=rng.integers(0, 256, (n, 16), dtype=np.uint8),
        bounds=np.hstack((corners, corners + 256)),
        classes=GRADES,
        class_index=rng.integers(0, 4, n).astype(np.int32),
        names=tuple(f"HER2 m{i}" for i in range(N_MEASUREMENTS)),
        values=rng.random((n, N_MEASUREMENTS), dtype=np.float32),
        parent_ids=(parent,),
        parent_index=np.zeros(n, dtype=np.int32),
    )


def tile_file(n: int) -> bytes:
    """A file with `n` tiles under the root."""
    data = QpData.create(None)
    data.apply(HierarchyEdit(add_tiles=make_tiles(n)))
    return data.to_bytes()


def _polygon(rng: np.random.Generator, radius: float) -> Polygon:
    angles = np.sort(rng.random(int(rng.integers(8, 40)))) * 2 * np.pi
    return Polygon(rng.integers(50, 400, 2) + radius * np.column_stack((np.cos(angles), np.sin(angles))))


def _annotation(rng: np.random.Generator) -> PathObject:
    return PathObject(
        UUID(bytes=rng.bytes(16)), ObjectType.ANNOTATION, make_roi(_polygon(rng, 50)), PathClass(("Tumor",)), "region"
    )


def _some_cells(n: int) -> QpData:
    """Cells as QuPath's cell detection makes them: two outlines, 41 measurements, most of them in a class."""
    rng = np.random.default_rng(0)
    region = _annotation(rng)
    names = [f"Nucleus: measurement {i}" for i in range(41)]
    cells = [
        PathObject(
            UUID(bytes=rng.bytes(16)),
            ObjectType.CELL,
            make_roi(_polygon(rng, 9)),
            (None, *GRADES)[rng.integers(5)],
            measurements=dict(zip(names, rng.random(41).tolist(), strict=True)),
            parent=region.id,
            nucleus=make_roi(_polygon(rng, 5)) if i % 20 else None,
        )
        for i in range(n)
    ]
    data = QpData.create(None)
    data.apply(HierarchyEdit(add_objects=(region, *cells)))
    return QpData.from_bytes(data.to_bytes())


def cell_file(n: int, source: Path | None) -> bytes:
    """A file with about `n` cells under one annotation, each with an id of its own.

    Parameters
    ----------
    n
        How many.
    source
        A file of which the cells are taken, over and over; by default cells made up here.
    """
    data = _some_cells(3000) if source is None else QpData.read(source)
    entry = max(data.runs, key=lambda entry: len(entry.run))
    run = entry.run
    assert isinstance(run, MixedRun)  # noqa: S101 - cells of many outlines
    times = -(-n // len(run))
    content = entry.parent.record.content
    raw = np.tile(run.data, times)
    starts = np.append((run.starts[:-1] + run.n_bytes * np.arange(times)[:, None]).ravel(), len(raw))
    many = MixedRun(run.forms, raw, starts, np.tile(run.form_of, times), np.tile(run.lengths, (times, 1)), run.targets)
    rng = np.random.default_rng(1_000)
    for part in many.parts:
        text = dict(read_record(part.layout.template).metadata_strings())[OBJECT_ID_KEY]
        places = part.places(part.layout.payloads[text])
        ids = uuids.format_text(rng.integers(0, 256, (len(places), 16), dtype=np.uint8))
        raw[places[:, None] + np.arange(ids.shape[1])] = ids
    content[content.index(run)] = many
    item, offset = entry.parent.record.child_count
    block = content[item]
    assert isinstance(block, bytes)  # noqa: S101 - the number of children is data
    n_children = int.from_bytes(block[offset : offset + 4], "big") + len(many) - len(run)
    content[item] = block[:offset] + n_children.to_bytes(4, "big") + block[offset + 4 :]
    return data.to_bytes()


def make_project(folder: Path, files: list[bytes]) -> None:
    """A project of one small slide, shown once for each data file."""
    folder.mkdir()
    slide = folder / "slide.tif"
    Image.new("RGB", (SLIDE_SIZE, SLIDE_SIZE), "white").save(slide)
    with create_project(folder / "project", backend="native") as project:
        project.add_image(slide, size=(SLIDE_SIZE, SLIDE_SIZE), mpp=(0.5, 0.5), levels=((SLIDE_SIZE, SLIDE_SIZE),))
        path = project.path
    document = json.loads(path.read_bytes())
    (image,) = document["images"]
    del image["serverBuilder"]["providerClassName"]
    document["images"] = [{**image, "entryID": i, "imageName": f"image {i}"} for i in range(1, len(files) + 1)]
    document["lastID"] = len(files)
    path.write_text(json.dumps(document), encoding="utf-8")
    for i, content in enumerate(files, 1):
        data = path.parent / "data" / str(i)
        if i > 1:
            shutil.copytree(path.parent / "data" / "1", data, ignore=shutil.ignore_patterns("*.qpdata"))
        (data / "data.qpdata").write_bytes(content)


def make_tile_project(folder: Path, n: int) -> None:
    """A project of one image with `n` tiles."""
    make_project(folder, [tile_file(n)])


def make_cell_project(folder: Path, n: int, source: Path | None) -> int:
    """A project of one image with about `n` cells; returns the number of its objects."""
    content = cell_file(n, source)
    make_project(folder, [content])
    return QpData.from_bytes(content).count().total()


def make_annotated_project(folder: Path, n_images: int, n_annotations: int, n_tiles: int) -> None:
    """A project of many images with annotations and tiles, sixteen different ones in turn."""
    files = [annotated_file(n_annotations, n_tiles, seed) for seed in range(16)]
    make_project(folder, [files[i % len(files)] for i in range(n_images)])


def annotated_file(n_annotations: int, n_tiles: int, seed: int = 0) -> bytes:
    """A file with annotations and tiles."""
    rng = np.random.default_rng(seed)
    regions = tuple(_annotation(rng) for _ in range(n_annotations))
    tiles = make_tiles(n_tiles, seed + 1)
    data = QpData.create(None)
    data.apply(HierarchyEdit(add_objects=regions, add_tiles=replace(tiles, parent_ids=(regions[0].id,))))
    return data.to_bytes()
