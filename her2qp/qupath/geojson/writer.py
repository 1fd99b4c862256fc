"""Write GeoJSON that QuPath 0.3 to 0.7 read."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO
from uuid import UUID

from her2qp.qupath.geojson.features import encode_object
from her2qp.qupath.geojson.output import text_output
from her2qp.qupath.geojson.tiletext import dump, tile_features
from her2qp.qupath.objects import ObjectType, PathObject, TileTable
from her2qp.qupath.tiletables import without_ids

_LOG = logging.getLogger(__name__)


def write_geojson(target: str | Path | TextIO, objects: Iterable[PathObject], tiles: TileTable | None = None) -> int:
    """Write objects as a feature collection, one feature a line.

    Parameters
    ----------
    target
        A file (compressed if its name ends in ``.gz``; replaced in one step when all is written), or an open text
        file.
    objects
        Written first, in their order.
    tiles
        Written after them, but for those that are among the objects.

    Returns
    -------
    int
        Number of features written. An object that QuPath could not read, because it has no ROI or none with an
        extent, is left out with a warning in the log: one such feature makes QuPath refuse the whole file. What lies
        under it goes under the next above.

    Raises
    ------
    ProjectAccessError
        The file cannot be written.

    Notes
    -----
    Features are flat: QuPath rebuilds the nesting from the shapes (*Resolve hierarchy*), and
    :func:`read_geojson` from the member ``parentId``. Coordinates are rounded to 0.01 px, and of mixed geometries the
    parts of the highest dimension stay. Measurements that are not finite, class probabilities, the transparency of
    colours, the grid of a TMA and the image's own data have no place in this form.
    """
    count = 0
    with text_output(target) as file:
        file.write('{"type":"FeatureCollection","features":[')
        for batch in _batches(objects, tiles):
            file.write(("\n" if not count else ",\n") + ",\n".join(batch))
            count += len(batch)
        file.write("\n]}\n")
    return count


def _batches(objects: Iterable[PathObject], tiles: TileTable | None) -> Iterator[list[str]]:
    tiles_before: set[UUID] = set()
    next_above: dict[UUID | None, UUID | None] = {}
    for obj in objects:
        if obj.type is ObjectType.TILE:
            tiles_before.add(obj.id)
        if obj.parent in next_above:
            obj = dataclasses.replace(obj, parent=next_above[obj.parent])
        feature = encode_object(obj)
        if feature is None:
            next_above[obj.id] = obj.parent
            _LOG.warning("object %s is left out of the GeoJSON: it has no shape that QuPath could read", obj.id)
        else:
            yield [dump(feature)]
    if tiles is not None:
        parents = tuple(next_above.get(parent, parent) for parent in tiles.parent_ids)
        for batch in tile_features(without_ids(dataclasses.replace(tiles, parent_ids=parents), tiles_before)):
            if batch:
                yield batch
