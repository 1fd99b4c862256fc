"""Nothing that was asked for may differ in the file that was written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from qupath.native.samples import HER2, empty_data, new_id

from her2qp.errors import DataFileError
from her2qp.qupath.classes import pack_rgb
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import ImagePlane, ObjectType, PathObject
from her2qp.qupath.rois import make_roi, rectangle
from her2qp.qupath.transaction.verify import Expectation

SPOT = make_roi(rectangle(0, 0, 9, 8))
PLAIN = PathObject(new_id(0), ObjectType.TILE, make_roi(rectangle(0, 0, 9, 9)), HER2[1], measurements={"a": 0.1})
SPECIAL = replace(PLAIN, name="mine", locked=True, color=pack_rgb(1, 2, 3), metadata={"by": "hand"})


def with_tiles(like: PathObject) -> HierarchyEdit:
    """So many tiles that a file keeps them together."""
    return HierarchyEdit(add_objects=tuple(replace(like, id=new_id(i)) for i in range(12)))


def written(edit: HierarchyEdit) -> QpData:
    data = empty_data()
    data.apply(edit)
    return QpData.from_bytes(data.to_bytes())


@pytest.mark.parametrize("tile", [PLAIN, SPECIAL])
def test_tiles_that_were_added_one_by_one_are_found(tile: PathObject) -> None:
    Expectation.of(empty_data()).after(with_tiles(tile)).check(written(with_tiles(tile)))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "yours"},
        {"locked": False},
        {"color": pack_rgb(3, 2, 1)},
        {"metadata": {"by": "foot"}},
        {"class_probability": 0.5},
        {"path_class": HER2[2]},
        {"measurements": {"a": 0.2}},
        {"roi": SPOT},
        {"roi": make_roi(rectangle(0, 0, 9, 9), ImagePlane(-1, 1, 0))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_tiles_that_differ_from_those_that_were_added_are_refused(change: dict[str, Any]) -> None:
    refuse(SPECIAL, change)


@pytest.mark.parametrize(
    "change", [{"path_class": HER2[2]}, {"measurements": {"a": 0.2}}, {"roi": SPOT}, {"name": "mine"}, {"locked": True}]
)
def test_tiles_of_which_a_table_says_all_are_compared_too(change: dict[str, Any]) -> None:
    refuse(PLAIN, change)


def refuse(tile: PathObject, change: dict[str, Any]) -> None:
    """Expect that a file is refused in which the tiles are not those that were added, or there before."""
    changed = written(with_tiles(replace(tile, **change)))
    for wanted in (Expectation.of(empty_data()).after(with_tiles(tile)), Expectation.of(written(with_tiles(tile)))):
        with pytest.raises(DataFileError, match="not what it should be"):
            wanted.check(changed)
