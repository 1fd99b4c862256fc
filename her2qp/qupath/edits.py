"""What is to change in one image's hierarchy. Everything an edit does not name stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.errors import InvalidEditError
from her2qp.qupath import uuids
from her2qp.qupath.objects import PathObject, TileTable


@dataclass(frozen=True, slots=True)
class HierarchyEdit:
    """Objects to remove and add, measurements to set and drop.

    The parts are applied in this order: drop measurements, set measurements, remove objects, add objects and tiles
    (appended after the existing children of their parents).

    Parameters
    ----------
    remove
        Ids of the objects to remove. A child of a removed object that is not removed itself moves up to the nearest
        ancestor that stays: a person may have drawn it.
    drop_measurements
        Object id to the names of measurements to drop; names that are not there are passed over.
    set_measurements
        Object id to measurements to set: replaced where the name exists, appended where not.
    add_objects
        Objects to add; `PathObject.parent` says under what (None: the root). Parents come before their children.
    add_tiles
        Tiles to add; `TileTable.parent_ids` says under what.
    """

    remove: frozenset[UUID] = frozenset()
    drop_measurements: Mapping[UUID, frozenset[str]] = field(default_factory=dict)
    set_measurements: Mapping[UUID, Mapping[str, float]] = field(default_factory=dict)
    add_objects: tuple[PathObject, ...] = ()
    add_tiles: TileTable | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the edit changes nothing."""
        return not (
            self.remove
            or self.drop_measurements
            or self.set_measurements
            or self.add_objects
            or (self.add_tiles is not None and len(self.add_tiles))
        )

    @property
    def added_ids(self) -> NDArray[np.uint8]:
        """Ids of all that is to be added, shape (n, 16), uint8."""
        ids = uuids.from_bytes(obj.id.bytes for obj in self.add_objects)
        return ids if self.add_tiles is None else np.concatenate([ids, self.add_tiles.ids])

    def check(self) -> HierarchyEdit:
        """Return this edit if QuPath could read its result back, else raise.

        Raises
        ------
        InvalidEditError
            An object has no ROI, a class or measurement name that QuPath refuses, a tile has no finite area, or an
            id is to be added twice.
        """
        for obj in self.add_objects:
            if obj.roi is None:
                raise InvalidEditError("an object without a ROI cannot be added", where=f"object {obj.id}")
            if obj.path_class is not None:
                obj.path_class.check()
        if self.add_tiles is not None:
            tiles = self.add_tiles
            for path_class in tiles.classes:
                path_class.check()
            if len(set(tiles.names)) != len(tiles.names):
                raise InvalidEditError("two measurements of the tiles have the same name")
            extent = tiles.bounds[:, 2:] - tiles.bounds[:, :2]
            if not (np.isfinite(tiles.bounds).all() and (extent > 0).all()):
                raise InvalidEditError("a tile has no finite area")
        if uuids.repeated(self.added_ids):
            raise InvalidEditError("an object id is to be added twice")
        return self
