"""The cases: a kind of file and a number, from which the damage follows."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import h5py
from fuzz import targets
from fuzz.corpus import Corpus, gzipped, zipped
from fuzz.javagraphs import mutate_graph
from fuzz.jsontrees import mutate_tree
from fuzz.mutations import EXTREMES, mutate

MODEL, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of case.

    Parameters
    ----------
    make
        Makes a damaged file of the corpus.
    use
        What the file goes through.
    share
        Part of all cases that are of this kind.
    """

    make: Callable[[Random, Corpus], Any]
    use: Callable[[Any, Path], None]
    share: float


@dataclass(frozen=True, slots=True)
class Case:
    """One damaged file."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}"

    def make(self, corpus: Corpus) -> Any:
        """The damaged file: the same for the same corpus."""
        return KINDS[self.kind].make(Random(str(self)), corpus)


def _bytes(files: tuple[bytes, ...], random: Random) -> bytes:
    return mutate(random, random.choice(files), files)


@lru_cache
def _documents(files: tuple[bytes, ...]) -> list[Any]:
    return [json.loads(file) for file in files]


def _tree(files: tuple[bytes, ...], random: Random) -> bytes:
    documents = _documents(files)
    return json.dumps(mutate_tree(random, random.choice(documents), documents)).encode()


def _either(files: tuple[bytes, ...], random: Random) -> bytes:
    return _bytes(files, random) if random.random() < 0.4 else _tree(files, random)


def _gzip(random: Random, corpus: Corpus) -> bytes:
    if random.random() < 0.5:
        return gzipped(_either(corpus.geojson, random))
    return mutate(random, gzipped(random.choice(corpus.geojson)), [gzipped(corpus.geojson[0])])


def _features(random: Random, corpus: Corpus) -> bytes:
    data = random.choice(corpus.features)
    return mutate(random, data, corpus.features) if random.random() < 0.6 else _rearranged(random, data)


def _features_of_others(random: Random, corpus: Corpus) -> bytes:
    files = (*corpus.features_of_others, corpus.features[0])
    return mutate(random, random.choice(files), files)


def _rearranged(random: Random, data: bytes) -> bytes:
    """A sound HDF5 file whose parts are not what they should be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.h5"
        path.write_bytes(data)
        with h5py.File(path, "r+") as file:
            name = random.choice(("features", "bounds"))
            match random.randrange(6):
                case 0:
                    file[name].resize(random.choice(EXTREMES[:10]), axis=0)
                case 1:
                    file.attrs[random.choice(("her2qp_key", "her2qp_checksum"))] = random.choice((1, "", [1.5] * 99))
                case 2:
                    del file[name]
                    file[name] = random.choice(("text", 1, [["a"]], h5py.SoftLink(f"/{name}"), [[1, 2]]))
                case 3:
                    del file[name]
                    file.create_group(name)
                case 4:
                    del file[name]
                    file.create_dataset(name, (2**30, 4), "f4", chunks=(2**20, 4), compression="gzip")
                case _:
                    del file[name]
                    file[name] = h5py.ExternalLink("/etc/passwd", "/")
        return path.read_bytes()


def _bundle(random: Random, corpus: Corpus) -> dict[str, bytes]:
    files = dict(random.choice(corpus.bundles))
    name = random.choice((CONFIG, CONFIG, CONFIG, MODEL, MODEL, "card.md"))
    alike = tuple(bundle[name] for bundle in corpus.bundles)
    files[name] = _tree(alike, random) if name == CONFIG and random.random() < 0.7 else _bytes(alike, random)
    if name == MODEL and random.random() < 0.9:  # else the damage is found before the weights are looked at
        config = {**json.loads(files[CONFIG]), "model_sha256": hashlib.sha256(files[MODEL]).hexdigest()}
        files[CONFIG] = json.dumps(config).encode()
    return files


def _bundle_zip(random: Random, corpus: Corpus) -> bytes:
    if random.random() < 0.2:
        return zipped(_bundle(random, corpus))
    archives = tuple(map(zipped, corpus.bundles))
    data = random.choice(archives)
    if random.random() < 0.4:  # only the directory at the end, where names and sizes stand
        (start,) = {zipfile.ZipFile(io.BytesIO(data)).start_dir}
        return data[:start] + mutate(random, data[start:], [archive[start:] for archive in archives])
    return mutate(random, data, archives)


KINDS = {
    "qpdata": Kind(lambda r, c: _bytes(c.qpdata, r), targets.use_qpdata, 0.54),
    "qpdata-graph": Kind(lambda r, c: mutate_graph(r, r.choice(c.qpdata)), targets.use_qpdata, 0.06),
    "qpproj": Kind(lambda r, c: _either(c.qpproj, r), targets.use_qpproj, 0.06),
    "classes": Kind(lambda r, c: _either(c.classes, r), targets.use_classes, 0.08),
    "geojson": Kind(lambda r, c: _either(c.geojson, r), targets.use_geojson, 0.09),
    "geojson-gz": Kind(_gzip, targets.use_geojson, 0.05),
    "features": Kind(_features, targets.use_features, 0.05),
    "features-of-others": Kind(_features_of_others, targets.use_features_of_others, 0.02),
    "bundle": Kind(_bundle, targets.use_bundle_folder, 0.03),
    "bundle-zip": Kind(_bundle_zip, targets.use_bundle_zip, 0.02),
}
"""The kinds of case by name; their shares add up to one."""


def spread(total: int, first: int = 0) -> list[Case]:
    """So many cases, each kind by its share, numbered from `first`."""
    return [Case(name, first + i) for name, kind in KINDS.items() for i in range(round(total * kind.share))]
