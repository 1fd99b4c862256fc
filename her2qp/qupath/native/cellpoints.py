"""Where the cells are: the centroids of hundreds of thousands of outlines, without making an object of any."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray

from her2qp.errors import DataFileError
from her2qp.qupath.classes import PathClass
from her2qp.qupath.java import Instance, JavaArray, Rows
from her2qp.qupath.native import schema
from her2qp.qupath.native.entries import Entry, RunEntry
from her2qp.qupath.native.index import Index
from her2qp.qupath.native.records import Record, read_record
from her2qp.qupath.native.roi_nodes import read_roi
from her2qp.qupath.native.tiles import classes_of_rows
from her2qp.qupath.native.values import Memo, float_array
from her2qp.qupath.objects import CellTable, ObjectType

Vertices: TypeAlias = NDArray[np.floating]

_CELL_LIKE = (ObjectType.CELL, ObjectType.DETECTION)


def read_cells(index: Index, memo: Memo) -> CellTable:
    """Cells, and detections that are neither tiles nor part of a cell, on the first z-slice and time point.

    A subcellular spot is a detection below its cell, and no cell.

    Raises
    ------
    DataFileError
        An outline is damaged.
    """
    cells = _Cells()
    for entry in index.entries:
        if entry.record.type not in _CELL_LIKE:
            continue
        if entry.parent is not None and entry.parent.record.type in _CELL_LIKE:
            continue
        if isinstance(entry, Entry):
            cells.add(entry, memo)
        else:
            cells.add_run(entry, memo)
    return cells.table()


class Outlines(NamedTuple):
    """Polygons, vertices one after the other: how many each has, and whether it lies on the first plane."""

    x: Vertices
    y: Vertices
    x_sizes: NDArray[np.int64]
    y_sizes: NDArray[np.int64]
    is_here: NDArray[np.bool_]


@dataclass
class _Cells:
    """The outlines and classes of cells as they are met; the number of a class is -1 when unclassified."""

    classes: dict[PathClass, int] = field(default_factory=dict)
    x: list[Vertices] = field(default_factory=list)
    y: list[Vertices] = field(default_factory=list)
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    numbers: list[NDArray[np.int32]] = field(default_factory=list)

    def add(self, entry: Entry, memo: Memo) -> None:
        """Take in an object."""
        record = entry.record
        roi = _outline(record)
        if roi is None or roi.get("z") or roi.get("t"):
            return
        if roi.class_name == schema.POLYGON:
            x, y = float_array(roi.get("x")), float_array(roi.get("y"))
        else:
            shape = read_roi(roi)
            x, y = shapely.get_coordinates(shapely.centroid(None if shape is None else shape.geometry)).T
        here = np.ones(1, dtype=np.bool_)
        classes = [memo.path_class(record.at(record.path_class))]
        outlines = Outlines(x, y, np.array([len(x)]), np.array([len(y)]), here)
        self._append(outlines, classes, np.zeros(1, dtype=np.int32))

    def add_run(self, entry: RunEntry, memo: Memo) -> None:
        """Take in the rows of a run: all at once if they are polygons, rectangles or ellipses."""
        for part in entry.run.parts:
            record = read_record(part.layout.template)
            outlines = _outlines(part, _outline(record))
            if outlines is None:
                for row in part.numbers.tolist():
                    self.add(entry.entry(row), memo)
            else:
                self._append(outlines, *classes_of_rows(part, record.at(record.path_class), memo))

    def _append(self, outlines: Outlines, classes: list[PathClass | None], class_index: NDArray[np.integer]) -> None:
        if not np.array_equal(outlines.x_sizes, outlines.y_sizes):
            raise DataFileError("a ROI has not as many x as y coordinates")
        is_here = outlines.is_here & (outlines.x_sizes > 0)
        of_those = np.repeat(is_here, outlines.x_sizes)
        class_index = class_index[is_here]
        numbers = np.full(len(classes), -1, dtype=np.int32)
        for index in np.unique(class_index).tolist():
            path_class = classes[index]
            if path_class is not None:
                numbers[index] = self.classes.setdefault(path_class, len(self.classes))
        self.x.append(outlines.x[of_those])
        self.y.append(outlines.y[of_those])
        self.sizes.append(outlines.x_sizes[is_here])
        self.numbers.append(numbers[class_index])

    def table(self) -> CellTable:
        """Everything taken in, as arrays."""
        if not sum(map(len, self.sizes)):
            return CellTable(np.empty((0, 2)), tuple(self.classes), np.empty(0, dtype=np.int32))
        vertices = np.column_stack((np.concatenate(self.x), np.concatenate(self.y))).astype(np.float64)
        sizes = np.concatenate(self.sizes)
        copies = np.where(sizes < 3, 3, 1)  # a ring has three points; without area it has its centroid all the same
        vertices = np.repeat(vertices, np.repeat(copies, sizes), axis=0)
        rings = shapely.linearrings(vertices, indices=np.repeat(np.arange(len(sizes)), sizes * copies))
        centroids = shapely.centroid(shapely.polygons(rings))
        places = np.column_stack((shapely.get_x(centroids), shapely.get_y(centroids)))
        return CellTable(places, tuple(self.classes), np.concatenate(self.numbers))


def _outline(record: Record) -> Instance | None:
    """The ROI of the nucleus where there is one, else that of the cell."""
    for item in (record.at(record.nucleus), record.at(record.roi)):
        if isinstance(item, Instance):
            return item
    return None


def _outlines(rows: Rows, roi: Instance | None) -> Outlines | None:
    """The outlines of rows whose template has the outline `roi`; None if they have to be looked at one by one."""
    if roi is None:
        return None
    start = rows.layout.payloads[roi.parts[0]]
    if roi.class_name in (schema.RECTANGLE, schema.ELLIPSE):
        x, x2, y, y2 = rows.column(start + 8, ">f8", 4).astype(np.float64).T
        is_here = (rows.column(start + 4, ">i4")[:, 0] == 0) & (rows.column(start + 40, ">i4")[:, 0] == 0)
        four = np.full(len(x), 4)
        corners = np.column_stack((x, x2, x2, x)).ravel(), np.column_stack((y, y, y2, y2)).ravel()
        return Outlines(*corners, four, four, is_here)
    xs, ys = (roi.get("x"), roi.get("y")) if roi.class_name == schema.POLYGON else (None, None)
    if not isinstance(xs, JavaArray) or not isinstance(ys, JavaArray):
        return None
    (x, x_sizes), (y, y_sizes) = rows.elements(xs, ">f4"), rows.elements(ys, ">f4")
    is_here = (rows.column(start + 4, ">i4", 2) == 0).all(axis=1)
    return Outlines(x.astype(np.float64), y.astype(np.float64), x_sizes, y_sizes, is_here)
