"""Properties of a feature that QuPath reads: type, class, colour, measurements, metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping
from ctypes import c_float
from typing import Any

from her2qp.errors import GeoJSONError, InvalidEditError
from her2qp.qupath.classes import PathClass, default_color, pack_rgb, unpack_rgb
from her2qp.qupath.objects import OBJECT_ID_KEY, ObjectType

LEGACY_TYPES = {
    "PathAnnotationObject": ObjectType.ANNOTATION,
    "PathDetectionObject": ObjectType.DETECTION,
    "PathTileObject": ObjectType.TILE,
    "PathCellObject": ObjectType.CELL,
    "TMACoreObject": ObjectType.TMA_CORE,
}
"""What QuPath before 0.3 wrote as the id of every feature."""

_TYPES = {**{kind.value.lower(): kind for kind in ObjectType}, "tma_core": ObjectType.TMA_CORE}
_MAX_CLASS_PARTS = 32


def old_type_name(kind: ObjectType) -> str:
    """The name of a type in QuPath 0.3."""
    return "tma_core" if kind is ObjectType.TMA_CORE else kind.value


def decode_type(properties: Mapping[str, Any], feature_id: object) -> ObjectType:
    """Type of an object; an annotation where it is not said or not known, as in QuPath."""
    if isinstance(feature_id, str) and feature_id in LEGACY_TYPES:
        default = LEGACY_TYPES[feature_id]
    else:
        default = ObjectType.ANNOTATION
    for key in ("objectType", "object_type", "type"):
        if isinstance(properties.get(key), str):
            return _TYPES.get(properties[key].lower(), ObjectType.ANNOTATION)
    return default


def encode_color(color: int) -> list[int]:
    """A packed colour as red, green and blue."""
    return list(unpack_rgb(color))


def decode_color(color: object, where: object) -> int | None:
    """A packed colour from a packed integer or from red, green and blue.

    Raises
    ------
    GeoJSONError
        It is neither.
    """
    if color is None:
        return None
    if isinstance(color, int) and not isinstance(color, bool) and -(2**31) <= color < 2**32:
        return pack_rgb(*unpack_rgb(color))
    if (
        isinstance(color, list)
        and len(color) in (3, 4)
        and all(isinstance(part, int | float) and 0 <= part <= 255 for part in color)
    ):
        return pack_rgb(*(int(part) for part in color[:3]))
    raise GeoJSONError(f"{color!r:.60} is not a colour", where=where, remedy="Write [red, green, blue], 0 to 255 each.")


def encode_class(path_class: PathClass) -> dict[str, Any]:
    """A class in the one form that QuPath 0.3 to 0.7 read with its colour: nested, with packed colours.

    Raises
    ------
    InvalidEditError
        QuPath could not read the class back, and with it the whole file.
    """
    path_class.check()
    encoded: dict[str, Any] = {}
    for count in range(1, len(path_class.names) + 1):
        names = path_class.names[:count]
        own = path_class.color if count == len(path_class.names) else None
        parent = {"parentClass": encoded} if encoded else {}
        encoded = {**parent, "name": names[-1], "colorRGB": default_color(names) if own is None else own}
    return encoded


def decode_class(value: object, where: object) -> PathClass | None:
    """A class from any form that a QuPath has written.

    Raises
    ------
    GeoJSONError
        It is none of them, or has a name that QuPath could not read back.
    """
    if value is None or value == "" or value == {}:
        return None
    try:
        if isinstance(value, str):
            return PathClass.from_string(value).check()
        if isinstance(value, dict):
            return _decode_class_object(value, where).check()
    except InvalidEditError as error:
        raise GeoJSONError(error.what, where=where, remedy="Correct the classification.") from error
    raise GeoJSONError("its classification is neither a name nor an object", where=where)


def _decode_class_object(value: dict[str, Any], where: object) -> PathClass:
    packed = value.get("colorRGB")  # where both are there, QuPath takes this one
    color = decode_color(value.get("color") if packed is None else packed, where)
    if isinstance(value.get("names"), list) and value["names"]:
        names = value["names"]
    else:
        names = []
        part: Any = value
        while isinstance(part, dict) and len(names) <= _MAX_CLASS_PARTS:
            names.insert(0, part.get("name"))
            part = part.get("parentClass")
    if not all(isinstance(name, str) for name in names):
        raise GeoJSONError("its classification has no name", where=where)
    if len(names) > _MAX_CLASS_PARTS:
        raise GeoJSONError(f"its classification has more than {_MAX_CLASS_PARTS} parts", where=where)
    return PathClass.from_string(names[0], color) if len(names) == 1 else PathClass(tuple(names), color)


def encode_measurements(measurements: Mapping[str, float]) -> list[dict[str, Any]]:
    """Measurements as the array that every QuPath reads; one that is not finite is left out: 0.3 and 0.4 fail on it."""
    return [{"name": name, "value": value} for name, value in measurements.items() if math.isfinite(value)]


def decode_measurements(value: object, kind: ObjectType, where: object) -> dict[str, float]:
    """Measurements from an array of names and values or from an object.

    Raises
    ------
    GeoJSONError
        A value is not a number.
    """
    if value is None:
        return {}
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list) and all(isinstance(m, dict) and isinstance(m.get("name"), str) for m in value):
        pairs = [(item["name"], item.get("value")) for item in value]
    else:
        raise GeoJSONError("its measurements are neither an object nor a list of names and values", where=where)
    single = kind not in (ObjectType.ANNOTATION, ObjectType.TMA_CORE)
    numbers = {name: _number(name, number, where) for name, number in pairs if number is not None}
    return {name: c_float(number).value for name, number in numbers.items()} if single else numbers


def _number(name: str, value: object, where: object) -> float:
    """A number, or one of the words that QuPath writes for what JSON cannot say: NaN, Infinity, -Infinity."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise GeoJSONError(f"the measurement {name!r:.60} is not a number", where=where)


def decode_texts(value: object, where: object) -> dict[str, str]:
    """Metadata: texts by name; other plain values become texts. An object's id is none: QuPath 0.3 takes it for that.

    Raises
    ------
    GeoJSONError
        It is not an object of plain values.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or any(isinstance(text, dict | list) for text in value.values()):
        raise GeoJSONError("its metadata is not an object of texts", where=where)
    texts = {key: text if isinstance(text, str) else str(text) for key, text in value.items() if text is not None}
    texts.pop(OBJECT_ID_KEY, None)
    return texts
