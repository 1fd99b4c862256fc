"""What her2qp takes for its own: exactly what it wrote, whatever else lies around."""

from __future__ import annotations

from uuid import UUID, uuid4, uuid5

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from her2qp.qupath.objects import ObjectType, PathObject, TileTable
from her2qp.scoring.ownership import id_set, owned_measurements, owned_metadata, owned_tiles, region_key, tile_ids
from her2qp.scoring.vocabulary import METADATA_KEYS, REGION_MEASUREMENTS

boxes = st.tuples(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(1, 10**5)).map(
    lambda b: (b[0] / 100, b[1] / 100, (b[0] + b[2]) / 100, (b[1] + b[2]) / 100)
)


def table(ids: np.ndarray, bounds: np.ndarray, parents: list[UUID | None]) -> TileTable:
    n = len(ids)
    distinct = tuple(dict.fromkeys(parents))
    return TileTable(
        ids=ids,
        bounds=bounds,
        classes=(),
        class_index=np.full(n, -1, np.int32),
        names=(),
        values=np.empty((n, 0), np.float32),
        parent_ids=distinct,
        parent_index=np.array([distinct.index(p) for p in parents], np.int32),
    )


@given(st.lists(boxes, min_size=1, max_size=20, unique=True), st.uuids())
def test_ids_are_valid_uuids_of_version_five_and_distinct(bounds: list[tuple[float, ...]], region: UUID) -> None:
    ids = tile_ids(region, np.array(bounds))
    as_uuids = id_set(ids)
    assert len(as_uuids) == len(bounds)
    assert {u.version for u in as_uuids} == {5}
    assert {u.variant for u in as_uuids} == {"specified in RFC 4122"}


def test_ids_survive_the_rounding_of_geojson_and_change_with_region_and_place() -> None:
    bounds = np.array([[100.123, 200.456, 356.123, 456.456]])
    region = uuid4()
    ids = tile_ids(region, bounds)
    assert (tile_ids(region, np.round(bounds, 2)) == ids).all()
    assert not (tile_ids(uuid4(), bounds) == ids).all()
    assert not (tile_ids(region, bounds + 1) == ids).all()


@given(st.lists(boxes, min_size=3, max_size=30, unique=True), st.data())
def test_only_tiles_with_the_id_of_their_own_place_are_owned(
    bounds: list[tuple[float, ...]], data: st.DataObject
) -> None:
    region, stranger = uuid4(), uuid4()
    placed = np.array(bounds)
    ids = tile_ids(region, placed)
    foreign = np.array(data.draw(st.lists(st.booleans(), min_size=len(bounds), max_size=len(bounds))))
    for row in np.flatnonzero(foreign):
        # Another tool's ids may be random or name-based too.
        other = data.draw(st.sampled_from([uuid4(), uuid5(stranger, str(row))]))
        ids[row] = np.frombuffer(other.bytes, np.uint8)
    parents: list[UUID | None] = [region] * len(bounds)
    assert (owned_tiles(table(ids, placed, parents), []) == ~foreign).all()


def test_a_tile_moved_to_another_parent_is_recognised_by_the_known_regions() -> None:
    region, stranger = uuid4(), uuid4()
    bounds = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [20, 0, 30, 10]], float)
    moved = table(tile_ids(region, bounds), bounds, [region, None, stranger])
    assert owned_tiles(moved, []).tolist() == [True, False, False]
    assert owned_tiles(moved, [stranger, region]).all()


def test_a_tile_that_somebody_moved_is_no_longer_recognised_by_its_place() -> None:
    region = uuid4()
    bounds = np.array([[0, 0, 10, 10]], float)
    assert not owned_tiles(table(tile_ids(region, bounds), bounds + 5, [region]), [region]).any()


def test_whole_tissue_has_a_region_of_its_own_in_every_image() -> None:
    annotation = uuid4()
    assert region_key(annotation, 3) == annotation
    assert region_key(None, 3) != region_key(None, 4)


def annotation(measurements: dict[str, float]) -> PathObject:
    return PathObject(uuid4(), ObjectType.ANNOTATION, None, measurements=measurements)


def test_measurements_are_owned_only_beside_the_run_marker() -> None:
    everything = dict.fromkeys(REGION_MEASUREMENTS, 1.0)
    hers = {"Area µm^2": 3.0, "HER2 IHC by Dr. M": 2.0}
    assert owned_measurements(annotation(hers | everything), None) == frozenset(REGION_MEASUREMENTS)
    assert owned_measurements(annotation(hers | everything), ["HER2 p(0)", "HER2 run"]) == {"HER2 p(0)", "HER2 run"}
    del everything["HER2 run"]
    assert owned_measurements(annotation(hers | everything), None) == frozenset()


@pytest.mark.parametrize("recorded", [None, {"HER2 predicted": "2+", "HER2 run": "r"}])
def test_metadata_is_owned_only_beside_the_run_marker_and_as_recorded(recorded: dict[str, str] | None) -> None:
    hers = {"patient": "P-1", "HER2 status": "positive (IHC 3+)"}
    assert owned_metadata(hers, recorded) == frozenset()
    mixed = hers | {"HER2 predicted": "2+", "HER2 run": "r"}
    expected = {"HER2 predicted", "HER2 run"} | (set() if recorded else {"HER2 status"})
    assert owned_metadata(mixed, recorded) == expected
    assert expected <= set(METADATA_KEYS)
