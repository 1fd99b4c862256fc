"""What a damaged file goes through: the reader, then everything that a run does with what was read.

Each `use_*` returns normally or raises an error of :mod:`her2qp.errors`. Anything else is a bug of her2qp; so is an
``AssertionError``, which says that a file was read and then written as something else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import shutil
from pathlib import Path
from uuid import UUID

import numpy as np
from fuzz.corpus import DIMENSION, Corpus, gzipped, zipped
from qupath.native.samples import tile_table

from her2qp.cohort.featurefolder import read_features
from her2qp.errors import DataFileError, Her2qpError, ProjectError
from her2qp.features.feature_file import FeatureFile
from her2qp.models.bag import Bag
from her2qp.models.bundle import Bundle
from her2qp.qupath import QpData, open_project
from her2qp.qupath.classes import PathClass
from her2qp.qupath.classlist import merge_class_list, parse_class_list
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.geojson import read_geojson, write_csv, write_geojson
from her2qp.qupath.hierarchy import Hierarchy
from her2qp.qupath.projectfile import ProjectFile
from her2qp.qupath.transaction.verify import Expectation
from her2qp.scoring.inspection import inspect_project

_MARKS = {"HER2 tiles": 12.0, "HER2 p(0)": 0.25}
_OURS = tile_table(12, (None,), seed=99)


def use_qpdata(data: bytes, folder: Path) -> None:
    """Read, rewrite, list, score an annotation, clear it, and remove an object."""
    read = QpData.from_bytes(data, where="data.qpdata")
    list(read.objects())
    before = Expectation.of(read)
    read.tma_cores, read.path_classes(), read.ids(), read.stores_every_id
    _assert_same(before, QpData.from_bytes(read.to_bytes()))

    annotation = next((obj.id for obj in read.annotations), None)
    marks = {} if annotation is None else {annotation: _MARKS}
    scoring = HierarchyEdit(set_measurements=marks, add_tiles=dataclasses.replace(_OURS, parent_ids=(annotation,)))
    read.apply(scoring)
    scored = QpData.from_bytes(read.to_bytes())
    _assert_same(before.after(scoring), scored)

    ours = frozenset(UUID(bytes=row.tobytes()) for row in _OURS.ids)
    clearing = HierarchyEdit(remove=ours, drop_measurements={one: frozenset(_MARKS) for one in marks})
    scored.apply(clearing)
    cleared = QpData.from_bytes(scored.to_bytes())
    _assert_same(before.after(scoring).after(clearing), cleared)

    first = next((obj.id for obj in cleared.objects()), None)
    if first is not None:
        cleared.apply(HierarchyEdit(remove=frozenset({first})))
        list(QpData.from_bytes(cleared.to_bytes()).objects())


def _assert_same(wanted: Expectation, found: Hierarchy) -> None:
    try:
        wanted.check(found)
    except DataFileError as error:
        raise AssertionError(str(error)) from error


def use_qpproj(data: bytes, folder: Path) -> None:
    """Open the project, look at every image, then score and describe the first one."""
    project_folder = folder / "project"
    shutil.rmtree(project_folder, ignore_errors=True)
    project_folder.mkdir()
    (project_folder / "project.qpproj").write_bytes(data)
    before = {path.name for path in folder.iterdir()}
    parsed = ProjectFile.from_bytes(project_folder / "project.qpproj", data)
    assert ProjectFile.from_bytes(parsed.path, parsed.to_bytes()).to_bytes() == parsed.to_bytes()
    with open_project(project_folder, "r", "native") as project:
        inspect_project(project)
        for entry in project.images:
            with contextlib.suppress(ProjectError, Her2qpError):
                entry.require_slide()
    try:
        with open_project(project_folder, "r+", "native") as project:
            for entry in project.images[:1]:
                entry.metadata = {**entry.metadata, "HER2 predicted": "2+"}
                entry.edit(HierarchyEdit(add_tiles=_OURS))
                entry.save()
        with open_project(project_folder, "r", "native") as project:
            for entry in project.images[:1]:
                assert entry.metadata["HER2 predicted"] == "2+" and len(entry.tiles()) == len(_OURS)
    finally:
        assert {path.name for path in folder.iterdir()} == before, "something was written outside of the project"


def use_classes(data: bytes, folder: Path) -> None:
    """Read a class list, add a class and take one away."""
    present = parse_class_list(data, where="classes.json")
    after = (*present[1:], PathClass(("HER2 2+",), -1))
    merged = merge_class_list(data, present, after, where="classes.json")
    assert set(parse_class_list(merged, where="classes.json")) == set(after) | (set(present) - set(present[:1]))


def use_geojson(data: bytes, folder: Path) -> None:
    """Read objects, put them into an image as `import` does, and export them as text and as a table."""
    path = folder / "objects.geojson"
    path.write_bytes(data)
    objects = tuple(read_geojson(path))
    image = QpData.create({"builderType": "uri", "uri": "file:/a.svs", "args": []})
    image.apply(HierarchyEdit(add_objects=objects))
    read = QpData.from_bytes(image.to_bytes())
    assert read.ids() == {obj.id for obj in objects}
    exported = folder / "exported.geojson"
    count = write_geojson(exported, read.objects_but_rows(), read.tiles())
    assert len(list(read_geojson(exported))) == count
    write_csv(io.StringIO(), read.objects_but_rows(), read.tiles())


def use_features(data: bytes, folder: Path) -> None:
    """Read a feature file and write it again."""
    path = folder / "features.h5"
    path.write_bytes(data)
    read = FeatureFile.read(path)
    read.write(folder / "again.h5")
    assert FeatureFile.read(folder / "again.h5").checksum == read.checksum


def use_features_of_others(data: bytes, folder: Path) -> None:
    """Read a feature file of any program."""
    path = folder / "features.h5"
    path.write_bytes(data)
    read = read_features(path)
    assert read.features.shape[0] == read.corners.shape[0] and isinstance(read.extractor, str)


def use_bundle_folder(files: dict[str, bytes], folder: Path) -> None:
    """Load a bundle and let it judge a bag."""
    place = folder / "bundle"
    place.mkdir(exist_ok=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    _judge(Bundle.load(place))


def use_bundle_zip(data: bytes, folder: Path) -> None:
    """The same from a zip."""
    path = folder / "bundle.zip"
    path.write_bytes(data)
    _judge(Bundle.load(path))


def _judge(bundle: Bundle) -> None:
    positions = np.mgrid[:3, :2].reshape(2, -1).T * 128.0
    bag = Bag(np.linspace(-1, 1, len(positions) * DIMENSION).reshape(-1, DIMENSION), positions, 128.0)
    prediction = bundle.predict(bag)
    for shares in (prediction.probabilities, prediction.attention, prediction.tile_probabilities):
        assert np.isfinite(shares).all() and np.allclose(shares.sum(axis=-1), 1, atol=1e-4)
    assert bundle.label and bundle.notice and bundle.facts()


def use_all_sound(corpus: Corpus, folder: Path) -> None:
    """Every file of the corpus undamaged: all is read, and data files are rewritten byte for byte."""
    for data in corpus.qpdata:
        assert QpData.from_bytes(data).to_bytes() == data
        use_qpdata(data, folder)
    for data in corpus.qpproj:
        use_qpproj(data, folder)
    for data in corpus.classes:
        use_classes(data, folder)
    for data in corpus.geojson:
        use_geojson(data, folder)
        use_geojson(gzipped(data), folder)
    for data in corpus.features:
        use_features(data, folder)
    for data in (*corpus.features, *corpus.features_of_others):
        use_features_of_others(data, folder)
    for files in corpus.bundles:
        use_bundle_folder(files, folder)
        use_bundle_zip(zipped(files), folder)
