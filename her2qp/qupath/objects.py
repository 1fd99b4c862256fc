"""The objects of a QuPath hierarchy as Python values.

Annotations are few and become :class:`PathObject`; tiles are many and travel as :class:`TileTable`, one row a tile.
Both are copies: changing one changes nothing on disk. Changes are described by :mod:`her2qp.qupath.edits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from her2qp.qupath.classes import PathClass

if TYPE_CHECKING:
    from shapely import Geometry

DESCRIPTION_KEY = "ANNOTATION_DESCRIPTION"
"""Metadata key under which QuPath keeps an annotation's description."""

OBJECT_ID_KEY = "Object ID"
"""Metadata key under which QuPath's data files keep an object's id."""

CASE_ID_KEYS = ("Case ID", "Unique ID")
"""Metadata keys under which QuPath keeps whose tissue a TMA core is, the second before 0.4."""


class ObjectType(StrEnum):
    """The kinds of object in a hierarchy, by the names of QuPath's GeoJSON."""

    ANNOTATION = "annotation"
    DETECTION = "detection"
    TILE = "tile"
    CELL = "cell"
    TMA_CORE = "tmaCore"


class RoiKind(StrEnum):
    """QuPath's ROI classes."""

    RECTANGLE = "RectangleROI"
    ELLIPSE = "EllipseROI"
    LINE = "LineROI"
    POLYGON = "PolygonROI"
    POLYLINE = "PolylineROI"
    POINTS = "PointsROI"
    AREA = "AreaROI"
    GEOMETRY = "GeometryROI"


class ImageType(StrEnum):
    """QuPath's image types, by the names of its enum constants."""

    BRIGHTFIELD_H_E = "BRIGHTFIELD_H_E"
    BRIGHTFIELD_H_DAB = "BRIGHTFIELD_H_DAB"
    BRIGHTFIELD_OTHER = "BRIGHTFIELD_OTHER"
    FLUORESCENCE = "FLUORESCENCE"
    OTHER = "OTHER"
    UNSET = "UNSET"


@dataclass(frozen=True, slots=True)
class ImagePlane:
    """Channel (-1: all), z-slice and time point that a ROI lies on."""

    c: int = -1
    z: int = 0
    t: int = 0


@dataclass(frozen=True, slots=True)
class Roi:
    """A region of interest.

    Parameters
    ----------
    kind
        QuPath's class of the ROI.
    geometry
        The same shape in shapely, in pixels at full resolution. It is what QuPath drew: possibly invalid (a
        self-intersecting brush stroke) or empty. An ellipse is a polygon that touches its four extremes.
    plane
        Where in the stack it lies.
    """

    kind: RoiKind
    geometry: Geometry
    plane: ImagePlane = ImagePlane()


@dataclass(frozen=True, slots=True)
class PathObject:
    """One object of a hierarchy.

    Parameters
    ----------
    id
        QuPath's object id. Files of QuPath 0.3 have none: an id is then derived from the object's place in the
        hierarchy, the same at every reading; an edit that shifts the place writes the id down.
    type, roi
        What it is and where.
    path_class
        Its classification; None when unclassified.
    name, color, locked, metadata
        As in QuPath; `color` is packed ARGB. `metadata` has no object id.
    measurements
        Name to value, in QuPath's order. Values of detections have float32 precision.
    class_probability
        NaN when unset.
    parent
        Id of the parent object; None directly under the root.
    nucleus
        Nucleus ROI of a cell.
    is_missing
        Whether a TMA core is marked missing.
    """

    id: UUID
    type: ObjectType
    roi: Roi | None
    path_class: PathClass | None = None
    name: str | None = None
    color: int | None = None
    locked: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    measurements: Mapping[str, float] = field(default_factory=dict)
    class_probability: float = float("nan")
    parent: UUID | None = None
    nucleus: Roi | None = None
    is_missing: bool = False

    @property
    def description(self) -> str | None:
        """The description that QuPath shows for an annotation."""
        return self.metadata.get(DESCRIPTION_KEY)

    @property
    def case_id(self) -> str | None:
        """The case that QuPath shows for a TMA core."""
        return next((self.metadata[key] for key in CASE_ID_KEYS if key in self.metadata), None)

    @property
    def geometry(self) -> Geometry:
        """Shape of the ROI in pixels at full resolution; an empty geometry if there is no ROI."""
        from shapely import GeometryCollection

        return GeometryCollection() if self.roi is None else self.roi.geometry


@dataclass(frozen=True, slots=True, eq=False)
class CellTable:
    """Cells as arrays, one row a cell, in no particular order.

    Parameters
    ----------
    centroids
        X and y of the nucleus, or of the cell where it has none, in pixels at full resolution, shape (n, 2), float64.
    classes
        The classes that occur; a row's class is ``classes[class_index[row]]``.
    class_index
        Shape (n,), int32; -1 when unclassified.
    """

    centroids: NDArray[np.float64]
    classes: tuple[PathClass, ...]
    class_index: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.centroids)


@dataclass(frozen=True, slots=True, eq=False)
class TileTable:
    """Rectangular tile detections as arrays, one row a tile.

    Parameters
    ----------
    ids
        Object ids as 16 raw bytes each, shape (n, 16), uint8.
    bounds
        x0, y0, x1, y1 in pixels at full resolution, shape (n, 4), float64.
    classes
        The classes that occur; a row's class is ``classes[class_index[row]]``.
    class_index
        Shape (n,), int32; -1 when unclassified.
    names
        Names of the measurements, the columns of `values`.
    values
        Measurements, shape (n, len(names)), float32; NaN where a tile lacks one or has NaN, which QuPath hardly tells
        apart. A tile that is added has none where it is NaN.
    parent_ids
        The distinct ids of the parents; None for the root.
    parent_index
        Row into `parent_ids`, shape (n,), int32.
    """

    ids: NDArray[np.uint8]
    bounds: NDArray[np.float64]
    classes: tuple[PathClass, ...]
    class_index: NDArray[np.int32]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    parent_ids: tuple[UUID | None, ...]
    parent_index: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> NDArray[np.float32]:
        """Values of one measurement, shape (n,).

        Raises
        ------
        KeyError
            No tile has that measurement.
        """
        try:
            return self.values[:, self.names.index(name)]
        except ValueError:
            raise KeyError(name) from None
