"""Read GeoJSON feature by feature, in every form that a QuPath has written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from her2qp.errors import GeoJSONError
from her2qp.qupath.geojson.chunks import JsonText, open_text
from her2qp.qupath.geojson.features import decode_tree, derived_id
from her2qp.qupath.objects import PathObject


def read_geojson(path: str | Path) -> Iterator[PathObject]:
    """Read the objects of a GeoJSON file one after the other.

    A feature, a feature collection, a bare geometry (an annotation, as in QuPath) or an array of these; plain or
    gzip-compressed; in any of the forms of QuPath 0.2 to 0.7. Memory holds one feature at a time.

    Parameters
    ----------
    path
        The file.

    Yields
    ------
    PathObject
        Parents before their children. A feature whose id is missing, no UUID, or taken by an earlier feature gets an
        id derived from its content, the same at every reading. `PathObject.parent` is an object of the same file, or
        None.

    Raises
    ------
    GeoJSONError
        While iterating: the file cannot be read, is not JSON or not GeoJSON, or a feature is not what QuPath reads.
        The error numbers the feature, from 1.
    """
    path = Path(path)
    seen: set[UUID] = set()
    with open_text(path) as pieces:
        for number, item in enumerate(_items(JsonText(pieces, path)), start=1):
            renamed: dict[UUID, UUID] = {}
            for obj in decode_tree(item, where=f"{path}, feature {number}"):
                parent = renamed.get(obj.parent, obj.parent) if obj.parent else None
                parent = parent if parent in seen else None
                new = obj.id
                if new in seen:
                    new = renamed[obj.id] = derived_id([str(obj.id), len(seen)])
                seen.add(new)
                unchanged = new is obj.id and parent is obj.parent
                yield obj if unchanged else dataclasses.replace(obj, id=new, parent=parent)


def _items(text: JsonText) -> Iterator[Any]:
    """Features and geometries of a document: the elements of arrays and of collections, else the document itself."""
    first = text.peek()
    if first == "[":
        for item in _elements(text):
            if isinstance(item, dict) and isinstance(item.get("features"), list):
                yield from item["features"]
            else:
                yield item
    elif first == "{":
        yield from _document(text)
    else:
        raise text.error("the file is empty" if not first else "not GeoJSON: it begins with neither { nor [")
    if text.peek():
        raise text.error("more text follows the end of the GeoJSON")


def _elements(text: JsonText) -> Iterator[Any]:
    """The elements of the array that begins at the cursor."""
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.take(",]") == "]":
            return


def _document(text: JsonText) -> Iterator[Any]:
    """The features of the collection that begins at the cursor, wherever in it they stand; or the object itself."""
    members: dict[str, Any] = {}
    is_collection = False
    text.take("{")
    while text.peek() != "}" or members:
        name = text.value()
        if not isinstance(name, str):
            raise text.error(f"not JSON: a name expected, not {name!r:.40}")
        text.take(":")
        if name == "features" and text.peek() == "[":
            is_collection = True
            yield from _elements(text)
        else:
            members[name] = text.value()
        if text.take(",}") == "}":
            break
    else:
        text.take("}")
    if not is_collection:
        if members.get("type") == "FeatureCollection":
            raise GeoJSONError("the FeatureCollection has no list of features", where=text.where)
        yield members
    elif members.get("type", "FeatureCollection") != "FeatureCollection":
        raise GeoJSONError(f"a {members['type']!r:.40} with features is not GeoJSON", where=text.where)
