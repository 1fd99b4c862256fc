"""A whole hierarchy goes out as GeoJSON and comes back, but for what README says that GeoJSON cannot hold."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qupath.native.samples import empty_data, new_id
from qupath.native.strategies import hierarchies, tile_tables
from shapely import GeometryCollection, Polygon

from her2qp.qupath import QpData
from her2qp.qupath.classes import pack_rgb, unpack_rgb
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.geojson import load_geojson, write_geojson
from her2qp.qupath.objects import ObjectType, PathObject, Roi, RoiKind
from her2qp.qupath.rois import make_roi, rectangle

ROUNDED = 0.01
"""Pixels by which rounding to 0.01 px and single precision may move a vertex."""


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(hierarchies() | hierarchies(prefer_deep=True), st.data())
def test_what_is_exported_and_removed_is_imported_again(objects: tuple[PathObject, ...], drawn: st.DataObject) -> None:
    data = empty_data()
    ids = tuple(obj.id for obj in objects)
    data.apply(
        HierarchyEdit(add_objects=objects, add_tiles=drawn.draw(st.none() | tile_tables((None, *ids), frozenset(ids))))
    )
    before = list(data.objects())
    data = exchanged(data)
    after = list(data.objects())
    assert [obj.id for obj in after] == [obj.id for obj in before]
    for found, wanted in zip(after, before, strict=True):
        assert_same(found, as_geojson_holds_it(wanted))


def exchanged(data: QpData) -> QpData:
    """Export everything, remove everything, import it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "objects.geojson.gz"
        write_geojson(path, data.objects_but_rows(), data.tiles())
        data.apply(HierarchyEdit(remove=frozenset(data.ids())))
        assert not data.ids()
        added, tiles = load_geojson(path)
    data.apply(HierarchyEdit(add_objects=added, add_tiles=tiles))
    return QpData.from_bytes(data.to_bytes())


def as_geojson_holds_it(obj: PathObject) -> PathObject:
    """An object without what GeoJSON cannot hold of it."""
    return replace(
        obj,
        color=None if obj.color is None else pack_rgb(*unpack_rgb(obj.color)),
        measurements={name: value for name, value in obj.measurements.items() if math.isfinite(value)},
        class_probability=math.nan,
    )


def assert_same(found: PathObject, wanted: PathObject) -> None:
    for fact in ("type", "path_class", "name", "color", "locked", "metadata", "parent", "is_missing", "measurements"):
        assert getattr(found, fact) == getattr(wanted, fact), fact
    assert math.isnan(found.class_probability)
    assert found.roi is not None
    assert wanted.roi is not None
    assert_same_roi(found.roi, wanted.roi)
    assert (found.nucleus is None) == (wanted.nucleus is None)
    if found.nucleus is not None and wanted.nucleus is not None:
        assert_same_roi(found.nucleus, wanted.nucleus)


def assert_same_roi(found: Roi, wanted: Roi) -> None:
    assert found.plane == wanted.plane
    if isinstance(wanted.geometry, GeometryCollection):  # only its polygons are left
        assert found.kind is RoiKind.POLYGON
        return
    assert found.kind is wanted.kind
    assert shapely.equals_exact(found.geometry, wanted.geometry, tolerance=ROUNDED, normalize=True)


def test_what_lies_under_an_object_without_an_extent_goes_under_the_next_above() -> None:
    above, flat, below = (
        PathObject(new_id(n), ObjectType.ANNOTATION, make_roi(rectangle(0, 0, 9, 9))) for n in range(3)
    )
    flat = replace(flat, parent=above.id, roi=Roi(RoiKind.POLYGON, Polygon([(0, 0), (9, 9), (0, 0)])))
    data = empty_data()
    data.apply(HierarchyEdit(add_objects=(above, flat, replace(below, parent=flat.id))))
    assert [(obj.id, obj.parent) for obj in exchanged(data).objects()] == [(above.id, None), (below.id, above.id)]
