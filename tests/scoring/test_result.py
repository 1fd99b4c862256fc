"""Numbers that are shown: ranks, grades, groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from her2qp.scheme import Scheme
from her2qp.scoring.result import percentile_rank
from her2qp.scoring.vocabulary import METADATA_KEYS, REGION_MEASUREMENTS, TILE_CLASSES, tile_measurements

values = hnp.arrays(np.float32, st.integers(2, 60), elements=st.floats(0, 1, width=32))


@given(values)
def test_rank_is_the_share_of_other_values_that_are_lower_counting_ties_half(v: np.ndarray) -> None:
    n = len(v)
    expected = [(sum(w < x for w in v) + (sum(w == x for w in v) - 1) / 2) / (n - 1) for x in v]
    np.testing.assert_allclose(percentile_rank(v), expected, atol=1e-6)


def test_a_single_tile_ranks_first() -> None:
    assert percentile_rank(np.array([0.3])).tolist() == [1.0]


def test_no_class_name_makes_qupath_compute_an_h_score() -> None:
    for path_class in TILE_CLASSES.values():
        assert len(path_class.names) == 1
        assert path_class.names[0] not in {"Negative", "Positive", "1+", "2+", "3+"}


@pytest.mark.parametrize("scheme", Scheme)
def test_every_class_of_a_scheme_has_a_tile_class_a_group_and_a_probability_that_is_known_as_ours(
    scheme: Scheme,
) -> None:
    assert set(scheme.classes) <= set(TILE_CLASSES)
    assert set(scheme.groups.values()) <= {"0", "low", "equivocal: ISH", "positive", "negative"}
    probabilities = [f"HER2 p({name})" for name in scheme.classes]
    assert [name for name in tile_measurements(scheme) if name.startswith("HER2 p(")] == probabilities
    assert set(probabilities) <= set(REGION_MEASUREMENTS) and set(probabilities) <= set(METADATA_KEYS)
    assert Scheme.of(scheme.classes) is scheme and Scheme.of(scheme.classes[::-1]) is None
