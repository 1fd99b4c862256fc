"""Objects made together are those made one by one, and the memory of a file goes with it."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.rois import polygon_from_vertices, polygons_from_vertices, rectangle, rectangles

numbers = st.floats(-1e6, 1e6, width=32)
outlines = st.lists(st.lists(st.tuples(numbers, numbers), max_size=6), max_size=5)


@given(outlines)
def test_polygons_made_together_are_those_made_one_by_one(given_outlines: list[list[tuple[float, float]]]) -> None:
    arrays = [np.array(outline, dtype=np.float64).reshape(-1, 2) for outline in given_outlines]
    points = np.concatenate([np.empty((0, 2)), *arrays])
    together = polygons_from_vertices(points, [len(array) for array in arrays])
    assert shapely.to_wkb(together).tolist() == [shapely.to_wkb(polygon_from_vertices(array)) for array in arrays]


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=1, max_size=5))
def test_rectangles_made_together_are_those_made_one_by_one(bounds: list[tuple[float, float, float, float]]) -> None:
    together = rectangles(np.array(bounds))
    assert shapely.to_wkb(together).tolist() == [shapely.to_wkb(rectangle(*corners)) for corners in bounds]


def test_a_file_is_let_go_at_once(golden: Path) -> None:
    """Without waiting for the garbage collector, which would let those of many files pile up."""
    data = QpData.read(golden / "project/data/1/data.qpdata")
    assert data.annotations
    places = weakref.ref(data._document.index.places)
    gc.disable()
    try:
        del data
        assert places() is None
    finally:
        gc.enable()
