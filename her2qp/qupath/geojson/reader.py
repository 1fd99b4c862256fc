"""Read GeoJSON feature by feature, or tiles by the table, in every form that a QuPath has written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from her2qp.errors import GeoJSONError
from her2qp.qupath.geojson.chunks import JsonText, open_text
from her2qp.qupath.geojson.features import decode_tree, derived_id
from her2qp.qupath.geojson.tilescanner import TileScanner
from her2qp.qupath.objects import PathObject, TileTable
from her2qp.qupath.tiletables import fits_table


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
    family = _Family()
    with open_text(path) as pieces:
        for number, item in enumerate(_items(JsonText(pieces, path), None), start=1):
            yield from family.admit(list(decode_tree(item, where=f"{path}, feature {number}")))


def scan_geojson(path: str | Path) -> Iterator[PathObject | TileTable]:
    """Read the same objects as :func:`read_geojson` in the same order, runs of tiles that are written alike as tables.

    Several times faster than that where a file holds many tiles. Memory holds about a megabyte of text at a time.

    Yields
    ------
    PathObject or TileTable
        Single tiles may come as objects nevertheless.

    Raises
    ------
    GeoJSONError
        As :func:`read_geojson` does, at the same feature.
    """
    path = Path(path)
    family = _Family()
    scanner = TileScanner(family.admit_table)
    number = 0
    with open_text(path) as pieces:
        text = JsonText(pieces, path)
        for item in _items(text, scanner):
            if isinstance(item, TileTable):
                number += len(item)
                yield item
                continue
            number += 1
            objects = list(decode_tree(item, where=f"{path}, feature {number}"))
            if len(objects) == 1 and fits_table(objects[0]):
                scanner.learn(text, objects[0])
            yield from family.admit(objects)


class _Family:
    """The objects of a file so far: no two have the same id, and a parent comes before its children."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def admit(self, tree: list[PathObject]) -> Iterator[PathObject]:
        """The objects of a feature, with other ids where theirs are taken and without parents that are not there."""
        renamed: dict[UUID, UUID] = {}
        for obj in tree:
            parent = renamed.get(obj.parent, obj.parent) if obj.parent else None
            parent = parent if parent and parent.bytes in self._seen else None
            new = obj.id
            if new.bytes in self._seen:
                new = renamed[obj.id] = derived_id([str(obj.id), len(self._seen)])
            self._seen.add(new.bytes)
            unchanged = new is obj.id and parent is obj.parent
            yield obj if unchanged else dataclasses.replace(obj, id=new, parent=parent)

    def admit_table(self, tiles: TileTable) -> TileTable | None:
        """The same for tiles; None, and nothing admitted, if an id is taken or one tile is the parent of another."""
        ids = set(np.ascontiguousarray(tiles.ids).view("V16").ravel().tolist())
        parents = tuple(parent if parent and parent.bytes in self._seen else None for parent in tiles.parent_ids)
        if (
            len(ids) < len(tiles)
            or not ids.isdisjoint(self._seen)
            or any(p and p.bytes in ids for p in tiles.parent_ids)
        ):
            return None
        self._seen |= ids
        return dataclasses.replace(tiles, parent_ids=parents)


def _items(text: JsonText, scanner: TileScanner | None) -> Iterator[Any]:
    """Features and geometries of a document: the elements of arrays and of collections, else the document itself."""
    first = text.peek()
    if first == "[":
        for item in _elements(text, scanner):
            if isinstance(item, dict) and isinstance(item.get("features"), list):
                yield from item["features"]
            else:
                yield item
    elif first == "{":
        yield from _document(text, scanner)
    else:
        raise text.error("the file is empty" if not first else "not GeoJSON: it begins with neither { nor [")
    if text.peek():
        raise text.error("more text follows the end of the GeoJSON")


def _elements(text: JsonText, scanner: TileScanner | None) -> Iterator[Any]:
    """The elements of the array that begins at the cursor."""
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        if scanner is not None:
            yield from scanner.tables(text)
        yield text.value()
        if text.take(",]") == "]":
            return


def _document(text: JsonText, scanner: TileScanner | None) -> Iterator[Any]:
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
            yield from _elements(text, scanner)
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
