"""Damaged files, a short run of what ``make fuzz`` does by the hundred thousand, and any structure."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fuzz.__main__ import SHORT, fuzz
from fuzz.cases import KINDS, Case, spread
from fuzz.corpus import Corpus, load_corpus
from fuzz.javagraphs import Graph, mutate_graph
from fuzz.jsontrees import HOSTILE, paths
from fuzz.targets import use_all_sound, use_bundle_folder, use_classes, use_geojson, use_qpdata, use_qpproj
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from her2qp.errors import Her2qpError

if sys.platform != "linux":
    pytest.skip("limits of memory and time are set as on Linux", allow_module_level=True)

few = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    with pytest.MonkeyPatch.context() as patch:  # our own files only: the others are in the long run
        patch.delenv("HER2QP_SHARED", raising=False)
        return load_corpus()


def test_every_damaged_file_is_read_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HER2QP_SHARED", raising=False)
    tallies, bugs = fuzz(spread(SHORT))
    assert not bugs, "\n".join(f"{case}: {outcome.label} {outcome.detail}" for case, outcome in bugs)
    assert sum(tally.labels.total() for tally in tallies.values()) == SHORT
    for kind, tally in tallies.items():
        assert len(tally.labels) > 1 or kind == "bundle-zip", f"{kind} always ends in {tally.labels}"


def test_sound_files_are_read_and_used(corpus: Corpus, tmp_path: Path) -> None:
    use_all_sound(corpus, tmp_path)


def test_a_case_is_the_same_every_time(corpus: Corpus) -> None:
    for kind in KINDS:
        if kind != "features":  # HDF5 writes the time down
            assert Case(kind, 5).make(corpus) == Case(kind, 5).make(corpus)


def survive(use: Callable[[Any, Path], None], file: Any, folder: Path) -> None:
    """Use a file; a typed error is as good as success."""
    try:
        use(file, folder)
    except Her2qpError as error:
        assert str(error)


anything = st.recursive(
    st.sampled_from([value for value in HOSTILE if not isinstance(value, list | dict)]) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def spoilt(draw: st.DrawFn, document: Any) -> bytes:
    """A document in which one to three places hold anything."""
    tree = {"document": copy.deepcopy(document)}
    for _ in range(draw(st.integers(1, 3))):
        *above, key = draw(st.sampled_from(paths(tree)[1:]))
        node: Any = tree
        for step in above:
            node = node[step]
        node[key] = draw(anything)
    return json.dumps(tree["document"]).encode()


@few
@given(data=st.data())
def test_any_project_file(corpus: Corpus, tmp_path: Path, data: st.DataObject) -> None:
    survive(use_qpproj, data.draw(spoilt(json.loads(corpus.qpproj[0]))), tmp_path)


@few
@given(data=st.data())
def test_any_class_list(corpus: Corpus, tmp_path: Path, data: st.DataObject) -> None:
    survive(use_classes, data.draw(spoilt(json.loads(corpus.classes[0]))), tmp_path)


@few
@given(data=st.data())
def test_any_geojson(corpus: Corpus, tmp_path: Path, data: st.DataObject) -> None:
    survive(use_geojson, data.draw(spoilt(json.loads(corpus.geojson[0]))), tmp_path)


@few
@given(data=st.data())
def test_any_configuration_of_a_bundle(corpus: Corpus, tmp_path: Path, data: st.DataObject) -> None:
    files = corpus.bundles[0]
    config = data.draw(spoilt(json.loads(files["config.json"])))
    survive(use_bundle_folder, {**files, "config.json": config}, tmp_path)


@settings(few, max_examples=15)
@given(seed=st.integers(0, 2**32), place=st.integers(0, 10**6), bits=st.binary(min_size=1, max_size=9))
def test_any_graph_of_objects(corpus: Corpus, tmp_path: Path, seed: int, place: int, bits: bytes) -> None:
    data = mutate_graph(Random(seed), corpus.qpdata[1])
    start = place % len(data)
    survive(use_qpdata, data, tmp_path)
    survive(use_qpdata, data[:start] + bits + data[start + len(bits) :], tmp_path)


def test_the_graph_that_is_changed_is_the_whole_file(corpus: Corpus) -> None:
    for data in corpus.qpdata:
        assert Graph(data).to_bytes() == data
