"""What refers to path objects from outside the tree: the TMA grid, the connections of a triangulation, properties."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from her2qp.errors import DataFileError, InvalidEditError
from her2qp.qupath.java import Instance, Item, Value
from her2qp.qupath.java.graph import walk
from her2qp.qupath.native import schema
from her2qp.qupath.native.containers import list_values, map_items, set_list, set_map
from her2qp.qupath.native.records import TYPES
from her2qp.qupath.native.values import text_of

CONNECTIONS_KEY = "OBJECT_CONNECTIONS"


def grid_cores(hierarchy: Instance) -> list[Value]:
    """TMA cores of the grid, row by row; empty if there is no grid."""
    grid = hierarchy.get("tmaGrid")
    return list_values(grid.get("cores")) if isinstance(grid, Instance) else []


def check_removal(hierarchy: Instance, others: list[Item], removed: AbstractSet[Instance]) -> None:
    """Check that nothing that stays needs what is to be removed.

    Parameters
    ----------
    hierarchy
        The hierarchy object.
    others
        Everything else at the top level of the file.
    removed
        The objects to be removed.

    Raises
    ------
    InvalidEditError
        Some but not all cores of a TMA grid are to be removed, or a property refers to one of the objects.
    """
    in_grid = [core in removed for core in grid_cores(hierarchy)]
    if any(in_grid) and not all(in_grid):
        raise InvalidEditError("a TMA core cannot be removed without the other cores of its grid")
    items: list[Item] = []
    for item in others:
        if isinstance(item, Instance) and item.class_name in (schema.HASH_MAP, schema.LINKED_HASH_MAP):
            items.extend(v for pair in map_items(item) if text_of(pair[0]) != CONNECTIONS_KEY for v in pair)
        else:
            items.append(item)
    if any(instance in removed for instance in walk(items, stop_at=frozenset(TYPES))):
        raise InvalidEditError("an object to be removed is used by a property of the image")


def drop_references(hierarchy: Instance, others: list[Item], removed: AbstractSet[Instance]) -> None:
    """Let the TMA grid and the connections forget removed objects.

    Connections that are not understood are dropped as a whole: QuPath computes them anew.
    """
    if any(core in removed for core in grid_cores(hierarchy)):
        hierarchy.set("tmaGrid", None)
    for item in others:
        if not isinstance(item, Instance) or item.class_name not in (schema.HASH_MAP, schema.LINKED_HASH_MAP):
            continue
        properties = map_items(item)
        for key, value in properties:
            if text_of(key) == CONNECTIONS_KEY and isinstance(value, Instance):
                try:
                    _prune_connections(value, removed)
                except DataFileError:
                    set_map(item, [pair for pair in properties if pair[1] is not value])


def _prune_connections(connections: Instance, removed: AbstractSet[Instance]) -> None:
    groups = list_values(_only(connections, schema.CONNECTIONS))
    for group in groups:
        connectors = _only(group, schema.CONNECTION_GROUP)
        if not isinstance(connectors, Instance):
            raise DataFileError("connections have no map")
        items = map_items(connectors)
        kept = [(key, value) for key, value in items if key not in removed]
        if len(kept) != len(items):
            set_map(connectors, kept)
        for _, connector in kept:
            _prune_connector(connector, removed)


def _prune_connector(connector: Value, removed: AbstractSet[Instance]) -> None:
    if not isinstance(connector, Instance) or connector.class_name != schema.CONNECTOR:
        raise DataFileError("connections hold something that is not known")
    neighbours = connector.content[-1] if connector.content else None
    if not isinstance(neighbours, Instance) or neighbours.class_name != schema.ARRAY_LIST:
        raise DataFileError("connections hold a list of a class that is not known")
    values = list_values(neighbours)
    kept = [value for value in values if value not in removed]
    if len(kept) != len(values):
        set_list(neighbours, kept)


def _only(value: Value, class_name: str) -> Value:
    """The only object in the annotation of an instance of a class."""
    if isinstance(value, Instance) and value.class_name == class_name:
        objects = [item for item in value.content if not isinstance(item, bytes)]
        if len(objects) == 1 and isinstance(objects[0], Instance):
            return objects[0]
    raise DataFileError("connections hold something that is not known")
