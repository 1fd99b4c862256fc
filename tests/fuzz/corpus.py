"""The sound files that the fuzzing damages: those that QuPath wrote, where they are at hand, and some of our own."""

from __future__ import annotations

import datetime
import gzip
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from cohort.h5files import features_of, write_clam, write_stamp, write_trident
from qupath.native.samples import empty_data, new_id, rich_objects, tile_table
from qupath.native.test_forms import connected_tiles

from her2qp.features.feature_file import FeatureFile
from her2qp.features.info import ExtractorInfo
from her2qp.models.abmil import ABMIL, ABMILConfig
from her2qp.models.bundle import Bundle
from her2qp.models.bundle_config import Training
from her2qp.models.kat import KAT, KATConfig
from her2qp.qupath.classlist import DEFAULT_CLASSES, merge_class_list
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.geojson import write_geojson
from her2qp.qupath.jsonfile import to_gson
from her2qp.qupath.projectfile import ProjectFile
from her2qp.qupath.serverbuilder import new_uri_builder

DIMENSION = 8
"""Features of a tile in the small feature files and models."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Sound files of each kind, as bytes. A bundle is a dictionary of its files."""

    qpdata: tuple[bytes, ...]
    qpproj: tuple[bytes, ...]
    classes: tuple[bytes, ...]
    geojson: tuple[bytes, ...]
    features: tuple[bytes, ...]
    features_of_others: tuple[bytes, ...]
    bundles: tuple[dict[str, bytes], ...]


def load_corpus() -> Corpus:
    """Files of our own, and those of ``HER2QP_SHARED`` where it is set."""
    folder = os.environ.get("HER2QP_SHARED")
    golden = Path(folder) / "golden" if folder else None

    def written_by_qupath(pattern: str) -> tuple[bytes, ...]:
        return () if golden is None else tuple(file.read_bytes() for file in sorted(golden.glob(pattern)))

    return Corpus(
        qpdata=(*_own_qpdata(), *written_by_qupath("*/project/data/*/data.qpdata")),
        qpproj=(_own_qpproj(), *written_by_qupath("*/project/*.qpproj")),
        classes=(_own_classes(), *written_by_qupath("*/project/classifiers/classes.json")),
        geojson=(_own_geojson(), *written_by_qupath("*/export_*.geojson"), *written_by_qupath("*/gson_*.json")),
        features=(_own_features(3), _own_features(300)),
        features_of_others=tuple(_features_of_others()),
        bundles=tuple(_own_bundles()),
    )


def zipped(files: dict[str, bytes]) -> bytes:
    """The files of a bundle in a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def gzipped(data: bytes) -> bytes:
    """The same bytes each time."""
    return gzip.compress(data, mtime=0)


def _own_qpdata() -> Iterator[bytes]:
    data = empty_data()
    yield data.to_bytes()
    data.apply(
        HierarchyEdit(
            add_objects=rich_objects(), add_tiles=tile_table(30, (None, new_id(0)), unclassified=True, gaps=True)
        )
    )
    yield data.to_bytes()
    yield connected_tiles().to_bytes()


def _own_qpproj() -> bytes:
    file = ProjectFile.create(Path("/slides/project/project.qpproj"), "0.5.1")
    for number in range(2):
        slide = Path(f"/slides/slide ä {number}.svs")
        builder = new_uri_builder(
            slide,
            name=slide.name,
            size=(3000, 2000),
            mpp=(0.25, 0.25),
            levels=[(3000, 2000), (750, 500)],
            magnification=40,
            tile_size=(256, 256),
        )
        file.add_image(builder, name=slide.name, description="a slide", metadata={"Case ID": "1", "clé": "ä"})
    file.images[1]["serverBuilder"] = {
        "builderType": "cropped",
        "builder": file.images[1]["serverBuilder"],
        "region": {},
    }
    return file.to_bytes()


def _own_classes() -> bytes:
    return merge_class_list(None, (), DEFAULT_CLASSES, where="made up") or b""


def _own_geojson() -> bytes:
    text = io.StringIO()
    write_geojson(text, rich_objects(), tile_table(12, (new_id(0),), gaps=True))
    document = json.loads(text.getvalue())
    document["features"][0]["properties"]["childObjects"] = [document["features"][1]]
    return to_gson(document)


def _own_features(n: int) -> bytes:
    random = np.random.default_rng(n)
    bounds = np.arange(4 * n, dtype=np.float64).reshape(n, 4)
    content = FeatureFile(
        "key",
        random.random((n, DIMENSION), np.float32),
        bounds,
        {"encoder": "e", "her2qp_fingerprint": "f"},
        {"patch_size": 256, "target_magnification": 20},
    )
    with tempfile.TemporaryDirectory() as folder:
        content.write(Path(folder) / "features.h5")
        return (Path(folder) / "features.h5").read_bytes()


def _features_of_others() -> Iterator[bytes]:
    for write in (write_trident, write_clam, write_stamp):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "slide.h5"
            write(path, features_of(20, DIMENSION))
            yield path.read_bytes()


def _own_bundles() -> Iterator[dict[str, bytes]]:
    torch.manual_seed(1)
    small = KATConfig(dimension=DIMENSION, classes=4, depth=2, width=8, heads=2, head_width=4, mlp_width=8)
    models = KAT(small), ABMIL(ABMILConfig(dimension=DIMENSION, classes=4, width=8, gate_width=4))
    half = (0.5, 0.5, 0.5)
    info = ExtractorInfo("e", DIMENSION, 256, 0.5, half, half, weights_sha256="a" * 64, licence="none", note="made up")
    training = Training(
        data="noise", artificial=True, seeds=(1,), versions={"torch": "2"}, date=datetime.date(2026, 1, 2)
    )
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            Bundle.create(model, info, training, name="small").save(Path(folder) / "bundle")
            yield {file.name: file.read_bytes() for file in sorted((Path(folder) / "bundle").iterdir())}
