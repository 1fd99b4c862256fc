"""Objects to and from single features, as plain dictionaries and as objects of the ``geojson`` package.

A feature is written in the form that every QuPath from 0.3 to 0.7 reads: the type under its old and its new name,
measurements as an array, the class with packed colours. It is flat, because QuPath 0.3 passes nested children over;
the parent's id stands in a member of its own, ``parentId``, that QuPath ignores and :func:`read_geojson` understands.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from her2qp.errors import GeoJSONError
from her2qp.qupath.geojson import properties as props
from her2qp.qupath.geojson.shapes import GEOMETRY_TYPES, decode_roi, encode_roi
from her2qp.qupath.objects import ObjectType, PathObject

if TYPE_CHECKING:
    import geojson

_ID_NAMESPACE = UUID("5c0c1a5e-2d0f-5b7e-9d0f-3f7a52b1c9e4")
_MAX_DEPTH = 100


def encode_object(obj: PathObject) -> dict[str, Any] | None:
    """An object as a feature; None if QuPath could not read its shape (no ROI, or none with an extent)."""
    geometry = None if obj.roi is None else encode_roi(obj.roi)
    if geometry is None:
        return None
    feature: dict[str, Any] = {"type": "Feature", "id": str(obj.id), "geometry": geometry}
    if obj.parent is not None:
        feature["parentId"] = str(obj.parent)
    if obj.type is ObjectType.CELL and obj.nucleus is not None:
        nucleus = encode_roi(obj.nucleus)
        if nucleus is not None:
            feature["nucleusGeometry"] = nucleus
    feature["properties"] = _encode_properties(obj)
    return feature


def _encode_properties(obj: PathObject) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": obj.type.value, "object_type": props.old_type_name(obj.type)}
    if obj.name is not None:
        properties["name"] = obj.name
    if obj.color is not None:
        properties["color"] = props.encode_color(obj.color)
    if obj.path_class is not None:
        properties["classification"] = props.encode_class(obj.path_class)
    properties["isLocked"] = obj.locked
    if obj.type is ObjectType.TMA_CORE:
        properties["isMissing"] = obj.is_missing
    measurements = props.encode_measurements(obj.measurements)
    if measurements:
        properties["measurements"] = measurements
    if obj.metadata:
        properties["metadata"] = dict(obj.metadata)
    return properties


def decode_object(item: object, *, where: object) -> PathObject:
    """The object of one feature or bare geometry, without nested children.

    Raises
    ------
    GeoJSONError
        It is neither, or something in it is not what QuPath reads.
    """
    if not isinstance(item, Mapping):
        raise GeoJSONError("neither a feature nor a geometry", where=where)
    if item.get("type") in GEOMETRY_TYPES:
        item = {"type": "Feature", "geometry": item}
    elif item.get("type") != "Feature":
        raise GeoJSONError(f"{item.get('type')!r:.60} is neither a feature nor a geometry", where=where)
    properties = _properties(item, where)
    kind = props.decode_type(properties, item.get("id"))
    name = properties.get("name")
    nucleus = item.get("nucleusGeometry") if kind is ObjectType.CELL else None
    return PathObject(
        id=_decode_id(item.get("id")) or derived_id(item, where=where),
        type=kind,
        roi=decode_roi(item.get("geometry"), where=where),
        path_class=props.decode_class(properties.get("classification"), where),
        name=None if name is None else str(name),
        color=props.decode_color(properties.get("color"), where),
        locked=properties.get("isLocked") is True,
        metadata=props.decode_texts(properties.get("metadata"), where),
        measurements=props.decode_measurements(properties.get("measurements"), kind, where),
        class_probability=math.nan,
        parent=_decode_id(item.get("parentId")),
        nucleus=None if nucleus is None else decode_roi(nucleus, where=where),
        is_missing=properties.get("isMissing") is True,
    )


def decode_tree(item: object, *, where: object) -> Iterator[PathObject]:
    """The object of a feature, then the objects nested in it; parents come before children.

    Raises
    ------
    GeoJSONError
        As for :func:`decode_object`, or the nesting is absurdly deep.
    """
    waiting: list[tuple[object, UUID | None, int]] = [(item, None, 0)]
    while waiting:
        feature, parent, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise GeoJSONError(f"its objects are nested more than {_MAX_DEPTH} deep", where=where)
        obj = decode_object(feature, where=where)
        if parent is not None:
            obj = dataclasses.replace(obj, parent=parent)
        yield obj
        children = _children(feature, where)
        waiting.extend((child, obj.id, depth + 1) for child in reversed(children))


def _properties(feature: Mapping[str, Any], where: object) -> Mapping[str, Any]:
    properties = feature.get("properties")
    if properties is None:
        return {}
    if not isinstance(properties, Mapping):
        raise GeoJSONError("its properties are not an object", where=where)
    return properties


def _children(feature: object, where: object) -> list[Any]:
    properties = _properties(feature, where) if isinstance(feature, Mapping) else {}
    children = properties.get("childObjects", properties.get("children"))
    return children if isinstance(children, list) else []


def _decode_id(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def derived_id(content: object, *, where: object = None) -> UUID:
    """An id for a feature without one: the same for the same content.

    Raises
    ------
    GeoJSONError
        The content is nested absurdly deep.
    """
    try:
        return uuid5(_ID_NAMESPACE, json.dumps(content, sort_keys=True, default=str))
    except RecursionError:
        raise GeoJSONError(
            "it is nested too deeply", where=where, remedy="Remove the feature or give it an id."
        ) from None


def to_feature(obj: PathObject) -> geojson.Feature:
    """An object as a feature of the ``geojson`` package, in the form that every QuPath reads.

    Raises
    ------
    GeoJSONError
        The object has no shape, or none with an extent: QuPath could not read it.

    Notes
    -----
    The probability of the class and measurements that are not finite have no place in that form and are left out.
    """
    import geojson

    feature = encode_object(obj)
    if feature is None:
        raise GeoJSONError("it has no shape that QuPath could read", where=f"object {obj.id}")
    return geojson.GeoJSON.to_instance(feature)


def from_feature(feature: geojson.Feature | geojson.geometry.Geometry | Mapping[str, Any]) -> PathObject:
    """The object of a feature or bare geometry of the ``geojson`` package; nested children are not looked at.

    Raises
    ------
    GeoJSONError
        Something in it is not what QuPath reads.
    """
    return decode_object(feature, where="feature")
