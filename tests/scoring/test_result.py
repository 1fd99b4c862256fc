"""Numbers that are shown: ranks, grades, groups."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from her2qp.scoring.result import percentile_rank
from her2qp.scoring.vocabulary import GRADE_CLASSES, GRADES, GROUPS, TILE_MEASUREMENTS

values = hnp.arrays(np.float32, st.integers(2, 60), elements=st.floats(0, 1, width=32))


@given(values)
def test_rank_is_the_share_of_other_values_that_are_lower_counting_ties_half(v: np.ndarray) -> None:
    n = len(v)
    expected = [(sum(w < x for w in v) + (sum(w == x for w in v) - 1) / 2) / (n - 1) for x in v]
    np.testing.assert_allclose(percentile_rank(v), expected, atol=1e-6)


def test_a_single_tile_ranks_first() -> None:
    assert percentile_rank(np.array([0.3])).tolist() == [1.0]


def test_no_class_name_makes_qupath_compute_an_h_score() -> None:
    for path_class in GRADE_CLASSES.values():
        assert len(path_class.names) == 1
        assert path_class.names[0] not in {"Negative", "Positive", "1+", "2+", "3+"}


def test_every_grade_has_a_group_and_a_probability() -> None:
    assert set(GROUPS) == set(GRADES)
    assert all(f"HER2 p({grade})" in TILE_MEASUREMENTS for grade in GRADES)
