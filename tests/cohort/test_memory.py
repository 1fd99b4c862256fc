"""Features that do not fit into memory are read when they are wanted, and change nothing but the time it takes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from cohort.h5files import features_of, write_stamp, write_trident
from training.artificial import make_cohort

from her2qp.cohort import Cohort, CohortRow
from her2qp.cohort.bags import load_features
from her2qp.errors import CohortError
from her2qp.training.config import make_config
from her2qp.training.runs import crossval

GRADES = ("0", "1+", "2+", "3+")
TILES, DIMENSION, SLIDES = 1000, 256, 40
SLIDE_BYTES = 4 * TILES * DIMENSION


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, Path]:
    """40 slides of 1 MB each."""
    folder = tmp_path_factory.mktemp("large")
    rows = []
    for k in range(SLIDES):
        write_stamp(folder / f"s{k}.h5", features_of(TILES, DIMENSION, seed=k))
        rows.append(CohortRow(f"P{k}", f"s{k}.svs", GRADES[k % 4]))
    return Cohort(tuple(rows), GRADES), folder


@pytest.mark.parametrize(("memory_gb", "kept"), [(0.0, 0), (10.5 * SLIDE_BYTES / 1e9, 10), (2.0, SLIDES)])
def test_no_more_features_stay_in_memory_than_may(large: tuple[Cohort, Path], memory_gb: float, kept: int) -> None:
    tracemalloc.start()
    try:
        found = load_features(*large, memory_gb=memory_gb)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    places = SLIDES * TILES * 16
    assert (kept - 0.1) * SLIDE_BYTES < held - places < (kept + 2) * SLIDE_BYTES
    assert peak < held + 6 * SLIDE_BYTES
    assert sum(isinstance(bag.content, np.ndarray) for bag in found.bags) == kept
    for k in (0, SLIDES - 1):
        wanted = features_of(TILES, DIMENSION, seed=k).astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(found.bags[k].features, wanted)


@pytest.mark.parametrize("model", ["kat", "slidegraph"])
def test_a_run_without_memory_for_features_ends_with_the_same_bytes(tmp_path: Path, model: str) -> None:
    cohort = make_cohort(tmp_path, 24)
    runs = [
        crossval(
            make_config(
                cohort=cohort,
                features=tmp_path / "features",
                memory_gb=memory_gb,
                output=tmp_path / f"{memory_gb}",
                model={"architecture": model},
                fit={"epochs": 2, "drop_tiles": 0.5},
                protocol={"folds": 2, "validation_folds": 2},
                judging={"replicates": 10, "permutations": 10, "attention_slides": 2, "retrained_permutations": 1},
            )
        )
        for memory_gb in (0.0, 2.0)
    ]
    assert runs[0].evaluation is not None and runs[1].evaluation is not None
    assert runs[0].evaluation.to_json() == runs[1].evaluation.to_json()
    for name in ("evaluation-predictions.csv", "bundle/model.safetensors", "cases.csv"):
        assert (tmp_path / "0.0" / name).read_bytes() == (tmp_path / "2.0" / name).read_bytes(), name


def test_a_file_that_is_replaced_while_it_is_in_use_is_noticed(tmp_path: Path) -> None:
    cohort = Cohort((CohortRow("P1", "a.svs", "0"), CohortRow("P2", "b.svs", "3+")), GRADES)
    for stem in "ab":
        write_trident(tmp_path / f"{stem}.h5", features_of(6))
    bag = load_features(cohort, tmp_path, memory_gb=0).bags[0]
    write_trident(tmp_path / "a.h5", features_of(4))
    with pytest.raises(CohortError, match="replaced while it was in use") as caught:
        _ = bag.features
    assert "a.h5" in str(caught.value)
