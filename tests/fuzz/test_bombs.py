"""Small files that are made to take much: deep, wide, inflating, or leading somewhere else."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from cohort.h5files import features_of, write_trident
from fuzz.corpus import load_corpus
from fuzz.targets import use_qpdata
from fuzz.worker import MEGABYTES, SECONDS
from qupath.native.samples import empty_data, new_id
from qupath.native.test_edits import annotation
from qupath.native.test_forms import Bench
from support import contents, run, run_alone

from her2qp.cohort.featurefolder import read_features
from her2qp.errors import (
    BundleError,
    CohortError,
    DataFileError,
    FeatureStoreError,
    GeoJSONError,
    Her2qpError,
    ProjectFormatError,
)
from her2qp.features.feature_file import FeatureFile
from her2qp.models.bundle import Bundle
from her2qp.qupath import QpData
from her2qp.qupath.classlist import parse_class_list
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.geojson import load_geojson, read_geojson
from her2qp.qupath.native import schema
from her2qp.qupath.projectfile import ProjectFile

if sys.platform != "linux":
    pytest.skip("memory is counted as on Linux", allow_module_level=True)


SLACK = 3
"""How much slower than an idle machine the one may be that runs the tests; a bomb takes minutes."""


def refused(use: Callable[[], object], kind: type[Her2qpError], message: str) -> None:
    """Expect a typed error, within bounds of time and memory."""
    Path("/proc/self/clear_refs").write_text("5")
    before, started = _memory("VmRSS"), time.process_time()
    with pytest.raises(kind, match=message):
        use()
    assert time.process_time() - started < SECONDS * SLACK
    assert _memory("VmHWM") - before < MEGABYTES


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


# --- data.qpdata -----------------------------------------------------------------------------------------------------

START = b"\xac\xed\x00\x05"


def class_desc(name: bytes, flags: int, fields: bytes = b"", n_fields: int = 0) -> bytes:
    """A new descriptor, without what its superclass is."""
    return (
        b"\x72" + struct.pack(">H", len(name)) + name + bytes(8) + struct.pack(">BH", flags, n_fields) + fields + b"x"
    )


def test_a_hierarchy_ten_thousand_deep_is_read_scored_and_cleared(tmp_path: Path) -> None:
    chain = [annotation(i, parent=None if i == 0 else new_id(i - 1)) for i in range(10_000)]
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=tuple(chain)))
    use_qpdata(data.to_bytes(), tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        START + b"\x7a\x7f\xff\xff\xff",
        START + b"\x7c" + b"\x7f" + b"\xff" * 7,
        START + b"\x7c" + b"\xff" * 8,
        START + b"u" + class_desc(b"[D", 2) + b"p" + b"\x7f\xff\xff\xff",
        START + b"u" + class_desc(b"[[D", 2) + b"p" + b"\x7f\xff\xff\xff" + b"p" * 9,
        START + b"s" + class_desc(b"A", 2, b"", 0xFFFF),
    ],
    ids=["block", "string", "negative string", "numbers", "objects", "fields"],
)
def test_a_length_is_not_believed(data: bytes) -> None:
    refused(lambda: QpData.from_bytes(data), DataFileError, "ends early|negative|does not fit|0x")


def test_many_small_blocks_are_joined_at_once() -> None:
    refused(lambda: QpData.from_bytes(START + b"\x77\x01x" * 300_000), DataFileError, "no header")


def test_objects_of_classes_without_end() -> None:
    chain = b"".join(class_desc(b"C%d" % i, 2) for i in range(5000))
    refused(lambda: QpData.from_bytes(START + b"s" + chain + b"p"), DataFileError, "superclasses")


def test_objects_within_objects() -> None:
    inner = class_desc(b"[Ljava.lang.Object;", 2) + b"p" + b"\x00\x00\x00\x01"
    nested = START + b"u" + inner + (b"uq" + b"\x00\x7e\x00\x00" + b"\x00\x00\x00\x01") * 100_000
    refused(lambda: QpData.from_bytes(nested), DataFileError, "ends early")


def test_json_within_json() -> None:
    bench = Bench(empty_data())
    bench.stream.contents[1].raw = b'{"server":' + b"[" * 100_000  # type: ignore[union-attr]
    refused(bench.result, DataFileError, "no valid JSON")


def test_a_class_derived_without_end() -> None:
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=(annotation(1),)))
    bench = Bench(data)
    node = None
    for _ in range(2000):
        derived = bench.vocabulary.instance(schema.PATH_CLASS)
        derived.set("name", bench.vocabulary.string("a"))
        derived.set("parentClass", node)
        node = derived
    bench.all(schema.ANNOTATION)[0].content[6] = node
    refused(lambda: list(bench.result().objects()), DataFileError, "absurdly many parts")


def test_measurements_that_many_objects_share() -> None:
    data = empty_data()
    names = {f"m{i}": 1.0 for i in range(1000)}
    data.apply(HierarchyEdit(add_objects=tuple(annotation(i, measurements=names) for i in range(20))))
    bench = Bench(data)
    objects = bench.all(schema.ANNOTATION)
    for one in objects:
        one.content[3] = objects[0].content[3]
    refused(bench.result, DataFileError, "share their measurements")


def test_tiles_that_all_have_different_measurements() -> None:
    from her2qp.qupath.tiletables import is_too_sparse

    assert not is_too_sparse(10**7, 100, 10**8)
    assert is_too_sparse(30_000, 30_000, 30_000)


# --- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [150, 900, 100_000])
def test_deep_json(depth: int) -> None:
    for deep in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"0" + b"}" * depth):
        project = b'{"version":"0.5.1","x":' + deep + b"}"
        refused(lambda data=project: ProjectFile.from_bytes(Path("p"), data), ProjectFormatError, "deeply")
        refused(lambda data=deep: parse_class_list(data, where="c"), ProjectFormatError, "deeply")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"type":"Feature","geometry":{"type":"Point","coordinates":[0,0]},"x":' + "[" * 960 + "]" * 960 + "}",
            "deep",
        ),
        ("[" * 100_000, "deep"),
        ("[" + "[]," * 6_000_000 + "[]]", "neither a feature"),
        ('{"x":[' + "[]," * 6_000_000 + "[]]}", "lists and objects"),
        ('{"type":"Point","coordinates":[["' + "x" * 2**20 + '",0]' + ',["y",0]' * 10_000 + "]}", "pair of numbers"),
        ('{"type":"LineString","coordinates":[[1e999,0],[' + "9" * 400 + ",0]]}", "not a finite number"),
    ],
    ids=["for the id", "brackets", "items", "parts", "texts", "huge"],
)
def test_hostile_geojson(tmp_path: Path, text: str, message: str) -> None:
    for name, data in (("a.geojson", text.encode()), ("a.geojson.gz", gzip.compress(text.encode(), 1))):
        (tmp_path / name).write_bytes(data)
        refused(lambda path=tmp_path / name: list(read_geojson(path)), GeoJSONError, message)


def test_geojson_of_tiles_that_all_have_different_measurements(tmp_path: Path) -> None:
    corners = [[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]
    tile = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [corners]}}
    path = tmp_path / "tiles.geojson"
    features = [
        {**tile, "properties": {"objectType": "tile", "measurements": {f"m{n}-{i}": 1 for i in range(20)}}}
        for n in range(4_000)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    refused(lambda: load_geojson(path), GeoJSONError, "too many different measurements")


def test_a_gzip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.geojson.gz"
    path.write_bytes(gzip.compress(b'{"x":"' + b" " * 2**28, 6))
    assert path.stat().st_size < 2**19
    refused(lambda: list(read_geojson(path)), GeoJSONError, "times larger|longer than")


# --- features and bundles --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["compressed", "large chunk", "external", "virtual", "large attribute"])
def test_hostile_features(tmp_path: Path, form: str) -> None:
    path = tmp_path / "features.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs.update({"her2qp_key": "k", "her2qp_checksum": "c"})
        if form == "large attribute":
            file.attrs["her2qp_key"] = np.zeros(2**20)
        options = {
            "compressed": {"compression": "gzip", "chunks": (2**20, 8)},
            "large chunk": {"chunks": (2**25, 8), "maxshape": (None, 8)},
            "external": {"external": [("/etc/passwd", 0, 2**20)]},
        }.get(form, {})
        if form == "virtual":
            file.create_virtual_dataset("features", h5py.VirtualLayout((4, 8), "f4"))
        else:
            file.create_dataset("features", (2**21 if form == "compressed" else 4, 8), "f4", **options)
        file.create_dataset("bounds", (4, 4), "f8")
    refused(lambda: FeatureFile.read(path), FeatureStoreError, "damaged")


@pytest.mark.parametrize("ours", [False, True])
def test_features_with_texts_in_an_endless_heap(tmp_path: Path, ours: bool) -> None:
    path = tmp_path / "features.h5"
    write_trident(path, features_of(3))
    assert read_features(path).extractor == "uni_v1"
    if ours:
        with h5py.File(path, "r+") as file:
            file.attrs.update({"her2qp_key": "k", "her2qp_checksum": "c"})
    data = path.read_bytes()
    first = data.index(b"GCOL") + 16
    path.write_bytes(data[:first] + bytes(32) + data[first:-32])  # a free space of no size
    refused(lambda: read_features(path), CohortError, "heap of it is damaged")
    refused(lambda: FeatureFile.read(path), FeatureStoreError, "damaged")


def test_hostile_zips(tmp_path: Path) -> None:
    files = load_corpus().bundles[0]
    for compression, size in ((zipfile.ZIP_DEFLATED, 2**29), (zipfile.ZIP_LZMA, 2**10)):
        path = tmp_path / f"{compression}.zip"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in files.items():
                with archive.open(name, "w") as member:
                    for _ in range(size // 2**20 if name == "model.safetensors" else 0):
                        member.write(bytes(2**20))
                    member.write(content)
        refused(lambda path=path: Bundle.load(path), BundleError, "compressed as no bundle is")


def test_weights_that_claim_to_be_larger_than_they_are(tmp_path: Path) -> None:
    files = dict(load_corpus().bundles[0])
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    files["model.safetensors"] = struct.pack("<Q", len(header)) + header
    config = json.loads(files["config.json"])
    config["model_sha256"] = hashlib.sha256(files["model.safetensors"]).hexdigest()
    files["config.json"] = json.dumps(config).encode()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    refused(lambda: Bundle.load(tmp_path), BundleError, "safetensors")


# --- out of the project ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry_id", ["../../x", "/tmp/x", -1, 1.5, True, 2**63, None])  # noqa: S108
def test_an_id_that_is_no_number_names_no_folder(example: Path, entry_id: object) -> None:
    file = example / "project" / "project.qpproj"
    document = json.loads(file.read_text())
    document["images"][0]["entryID"] = entry_id
    with pytest.raises(ProjectFormatError, match="image 1 has the id"):
        ProjectFile.from_bytes(file, json.dumps(document).encode())
    document["images"][0]["entryID"], document["lastID"] = 1, entry_id
    with pytest.raises(ProjectFormatError, match="the last id"):
        ProjectFile.from_bytes(file, json.dumps(document).encode())


@pytest.mark.parametrize("link", ["data", "data/1", "her2qp", "her2qp/runs", "her2qp/backups"])
def test_a_link_out_of_the_project_is_not_written_through(example: Path, link: str, tmp_path: Path) -> None:
    outside, place = tmp_path / "outside", example / "project" / link
    if place.exists():
        place.rename(outside)
    else:
        outside.mkdir()
        place.parent.mkdir(exist_ok=True)
    place.symlink_to(outside, target_is_directory=True)
    objects = tmp_path / "objects.geojson"
    feature = {"type": "Point", "coordinates": [5, 5]}
    objects.write_text(json.dumps(feature))
    before = contents(outside)
    done = run("import", example / "project", objects, "--image", "slide ä 1.svs", "--backend", "native")
    assert contents(outside) == before and not [f for f in outside.rglob("*") if f.is_file() and link.startswith("h")]
    assert "Traceback" not in done.stderr
    assert (done.returncode == 2 and "out of the project" in done.stderr) or link == "her2qp/runs", done.stderr


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b\\c:d", "中" * 200, "\ud800", "..", "CON", "\0"])  # noqa: S108
def test_an_image_name_is_no_path_when_exported(example: Path, name: str, tmp_path: Path) -> None:
    import her2qp

    file = example / "project" / "project.qpproj"
    document = json.loads(file.read_text())
    document["images"][0]["imageName"] = name
    file.write_text(json.dumps(document))
    before = contents(example)
    exported = her2qp.export_objects(example / "project", tmp_path / "out")
    ((path, count),) = exported.files
    assert path.parent == tmp_path / "out" and path.is_file() and count == 1
    assert contents(example) == before
    if name == "\ud800":
        assert run_alone("inspect", example / "project").returncode == 0
        assert json.loads(run_alone("inspect", example / "project", "--json").stdout)["images"][0]["name"] == name
