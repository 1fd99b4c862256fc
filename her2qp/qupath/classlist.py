"""The class list of a project: ``classifiers/classes.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from her2qp.errors import ProjectFormatError
from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.qupath.jsonfile import parse_json, to_gson

CLASS_LIST = "classifiers/classes.json"
"""Where it is, relative to the project folder."""

DEFAULT_CLASSES = (
    PathClass(("Tumor",), pack_rgb(200, 0, 0)),
    PathClass(("Stroma",), pack_rgb(150, 200, 150)),
    PathClass(("Immune cells",), pack_rgb(160, 90, 160)),
    PathClass(("Necrosis",), pack_rgb(50, 50, 50)),
    PathClass(("Other",), pack_rgb(255, 200, 0)),
    PathClass(("Region*",), pack_rgb(0, 0, 180)),
    PathClass(("Ignore*",), pack_rgb(180, 180, 180)),
    PathClass(("Positive",), pack_rgb(200, 50, 50)),
    PathClass(("Negative",), pack_rgb(90, 90, 180)),
)
"""What QuPath lists in a new project."""


def parse_class_list(data: bytes | None, *, where: object) -> tuple[PathClass, ...]:
    """Classes in the order of the file; a file that is absent (None) is an empty list, as in QuPath.

    Raises
    ------
    ProjectFormatError
        It is not a class list.
    """
    return tuple(path_class for _, path_class in _items(_document(data, where), where) if path_class is not None)


def merge_class_list(
    data: bytes | None, before: Sequence[PathClass], after: Sequence[PathClass], *, where: object
) -> bytes | None:
    """Apply to the newest class list the change that leads from `before` to `after`.

    Classes that somebody else added or recoloured meanwhile stay. Returns the bytes of the new file, `data` itself
    when there is nothing to change, or None when the list is empty (QuPath then has no file).

    Raises
    ------
    ProjectFormatError
        `data` is not a class list.
    InvalidEditError
        QuPath could not read one of the new classes.
    """
    removed, known = set(before) - set(after), set(before)
    recoloured = {c: c.color for c in after for b in before if c == b and c.color != b.color}
    document = _document(data, where)
    kept: list[Any] = []
    listed: set[PathClass] = set()
    for item, path_class in _items(document, where):
        if path_class in removed:
            continue
        if path_class is not None:
            listed.add(path_class)
        kept.append({**item, "color": recoloured[path_class]} if path_class in recoloured else item)
    for path_class in after:
        if path_class not in known and path_class not in listed:
            path_class.check()
            listed.add(path_class)
            kept.append(_item(path_class))
    if kept == document.get("pathClasses", []):
        return data
    return to_gson({**document, "pathClasses": kept}) if kept else None


def _item(path_class: PathClass) -> dict[str, Any]:
    item: dict[str, Any] = {"name": str(path_class)}
    if path_class.color is not None:
        item["color"] = path_class.color
    return item


def _document(data: bytes | None, where: object) -> dict[str, Any]:
    document = {"pathClasses": []} if data is None else parse_json(data, where=where)
    if not isinstance(document, dict) or not isinstance(document.get("pathClasses", []), list):
        raise ProjectFormatError("not a class list of QuPath", where=where)
    return document


def _items(document: dict[str, Any], where: object) -> list[tuple[Any, PathClass | None]]:
    """Items as they are in the file, with their class; None for the null class that QuPath 0.3 lists."""
    items: list[tuple[Any, PathClass | None]] = []
    for item in document.get("pathClasses", []):
        name = item.get("name") if isinstance(item, dict) else None
        color = item.get("color") if isinstance(item, dict) else None
        if (item is not None and not isinstance(item, dict)) or not isinstance(name, str | None):
            raise ProjectFormatError("not a class list of QuPath", where=where)
        integer = color if isinstance(color, int) and not isinstance(color, bool) else None
        items.append((item, PathClass.from_string(name, integer) if name else None))
    return items
