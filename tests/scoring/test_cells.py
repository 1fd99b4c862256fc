"""Counts of other tools' cells in the tiles."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import UUID, uuid5

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from support import contents, run

import her2qp
from her2qp.qupath.classes import PathClass
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import CellTable, ImagePlane, ObjectType, PathObject, Roi
from her2qp.qupath.rois import make_roi
from her2qp.scheme import Scheme
from her2qp.scoring.cellcounts import count_cells
from her2qp.scoring.vocabulary import tile_measurements
from her2qp.tiling import Region, Tiles

SPACE = UUID("5c0ffee0-0000-4000-8000-000000000011")
TUMOR, IMMUNE = PathClass(("Tumor",)), PathClass(("Immune cells",))
NAMES_OF_TILES = tile_measurements(Scheme.GRADES)
NAMES = tuple(
    name
    for count in ("Num cells", "Num cells: Immune cells", "Num cells: Tumor: Positive")
    for name in (count, f"{count} per mm^2")
)


def outline(x: float, y: float, radius: float, sides: int) -> Roi:
    return make_roi(shapely.Point(x, y).buffer(radius, quad_segs=sides))


def detected(tumor: UUID, box: tuple[float, ...], n: int = 400) -> list[PathObject]:
    """Cells with and without a nucleus, detections, and a spot in a cell, over and beside the tumour."""
    random = np.random.default_rng(5)
    x0, y0, x1, y1 = box
    objects = []
    for number, (x, y) in enumerate(random.uniform((x0 - 200, y0 - 200), (x1 + 200, y1 + 200), (n, 2)).tolist()):
        kind = ObjectType.CELL if number % 4 else ObjectType.DETECTION
        # Nuclei lie off the centre, far enough to fall into another tile.
        nucleus = outline(x + 40, y + 25, 4, 2) if number % 4 > 1 else None
        path_class = (None, TUMOR, PathClass(("Tumor", "Positive")), IMMUNE)[number % 3 + (number % 3 > 0)]
        objects.append(
            PathObject(
                uuid5(SPACE, str(number)), kind, outline(x, y, 60, 2 + number % 5), path_class,
                parent=tumor, nucleus=nucleus,
            )
        )  # fmt: skip
    spot = outline(*shapely.Point(objects[3].geometry.centroid).coords[0], 1, 2)
    objects.append(PathObject(uuid5(SPACE, "spot"), ObjectType.DETECTION, spot, TUMOR, parent=objects[3].id))
    elsewhere = Roi(objects[0].roi.kind, objects[0].geometry, ImagePlane(z=1))  # type: ignore[union-attr]
    objects.append(PathObject(uuid5(SPACE, "above"), ObjectType.DETECTION, elsewhere, TUMOR, parent=tumor))
    return objects


@pytest.fixture
def with_cells(example: Path) -> Path:
    project = example / "project"
    with her2qp.open_project(project, mode="r+", backend="native") as opened:
        (image,) = opened.images
        (tumor,) = image.annotations
        image.edit(HierarchyEdit(add_objects=tuple(detected(tumor.id, tumor.geometry.bounds))))
        image.save()
    return project


def others(project: Path) -> list[str]:
    with her2qp.open_project(project, backend="native") as opened:
        return [repr(o) for o in opened.images[0].hierarchy.objects() if o.type not in ("tile", "annotation")]


def test_tiles_get_counts_and_densities_and_cells_stay_as_they_are(with_cells: Path) -> None:
    files, before = contents(with_cells), others(with_cells)
    (outcome,) = her2qp.score(with_cells, backend="native", cells=True).outcomes
    assert outcome.notes == () and others(with_cells) == before
    with her2qp.open_project(with_cells, backend="native") as opened:
        (image,) = opened.images
        tiles, (tumor,) = image.tiles(), image.annotations
        cells = [o for o in image.detections if o.type is not ObjectType.TILE and o.parent == tumor.id]
    assert tiles.names == NAMES_OF_TILES + NAMES
    cells = [o for o in cells if o.roi is not None and o.roi.plane.z == 0]
    centres = np.array([(o.nucleus or o.roi).geometry.centroid.coords[0] for o in cells])  # type: ignore[union-attr]
    counted = shapely.contains_xy(tumor.geometry, *centres.T)
    for row, (x0, y0, x1, y1) in enumerate(tiles.bounds.tolist()):
        inside = counted & (centres >= (x0, y0)).all(axis=1) & (centres < (x1, y1)).all(axis=1)
        names = [str(cells[i].path_class) for i in np.flatnonzero(inside)]
        area = shapely.box(x0, y0, x1, y1).intersection(tumor.geometry).area * 0.25**2 / 1e6
        expected = [len(names), names.count("Immune cells"), names.count("Tumor: Positive")]
        values = tiles.values[row, len(NAMES_OF_TILES) :]
        assert values[::2].tolist() == expected
        np.testing.assert_allclose(values[1::2], np.array(expected) / area, rtol=1e-4)
    assert tiles.column("Num cells").sum() > 100
    her2qp.clear(with_cells, backend="native")
    assert contents(with_cells) == files


@pytest.mark.qupath
@pytest.mark.long
def test_a_real_qupath_writes_and_reads_the_counts(with_cells: Path, qupath_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "by native"
    shutil.copytree(with_cells.parent, copy)
    her2qp.score(with_cells, backend="paquo", cells=True)
    her2qp.score(copy / "project", backend="native", cells=True)
    with (
        her2qp.open_project(with_cells, backend="native") as by_qupath,
        her2qp.open_project(copy / "project", backend="paquo") as by_us,
    ):
        first, second = by_qupath.images[0].tiles(), by_us.images[0].tiles()
    assert first.names == second.names == NAMES_OF_TILES + NAMES
    np.testing.assert_allclose(first.values[:, -len(NAMES) :], second.values[:, -len(NAMES) :], rtol=1e-6)


def test_an_image_without_cells_says_so_and_gets_no_zeros(example: Path) -> None:
    done = run("score", example / "project", "--cells", "--dry-run", "--backend", "native")
    assert done.returncode == 0 and "no cells to count" in done.stderr
    her2qp.score(example / "project", cells=True, backend="native")
    with her2qp.open_project(example / "project", backend="native") as opened:
        assert opened.images[0].tiles().names == NAMES_OF_TILES


places = st.lists(st.tuples(st.integers(-5, 65), st.integers(-5, 45)), max_size=60)


@given(places, st.sampled_from([10, 5]), st.data())
def test_every_cell_of_a_region_counts_once_in_each_of_its_tiles(
    points: list[tuple[int, int]], stride: int, data: st.DataObject
) -> None:
    """On whole numbers many cells lie on the border of two tiles; tiles that overlap count a cell each."""
    regions = [Region(None, None, shapely.box(0, 0, 30, 40)), Region(None, None, shapely.box(30.5, 0, 60, 40))]
    corners = [(r, x, y) for r, start in ((0, 0), (1, 30)) for x in range(start, start + 25, stride)
               for y in range(0, 35, stride)]  # fmt: skip
    region, x, y = np.array(corners).T
    n = len(corners)
    tiles = Tiles(
        np.column_stack((x, y, x + 10, y + 10)).astype(float), region.astype(np.int32), np.ones(n, np.float32),
        np.ones(n, np.float32), np.column_stack((x, y)).astype(np.int32),
    )  # fmt: skip
    numbers = np.array(data.draw(st.lists(st.integers(-1, 1), min_size=len(points), max_size=len(points))), np.int32)
    table = CellTable(np.array(points, float).reshape(-1, 2), (TUMOR, IMMUNE), numbers)
    counts = count_cells(table, tiles, regions, 0.5)
    assert counts.names[::2] == ("Num cells", "Num cells: Immune cells", "Num cells: Tumor")
    for tile in range(n):
        held = [
            number
            for (px, py), number in zip(points, numbers.tolist(), strict=True)
            if x[tile] <= px < x[tile] + 10 and y[tile] <= py < y[tile] + 10
            and regions[region[tile]].geometry.intersects(shapely.Point(px, py))
        ]  # fmt: skip
        assert counts.values[tile, ::2].tolist() == [len(held), held.count(1), held.count(0)]
        assert counts.values[tile, 1] == pytest.approx(len(held) / 25e-6)


def test_detections_in_bulk_are_found_where_they_are() -> None:
    """Rectangles, and polygons of as many vertices as they have, are kept as rows; centroids come from columns."""
    shapes = [shapely.box(i, 2 * i, i + 4, 2 * i + 6) for i in range(300)]
    shapes += [shapely.Polygon([(i, 0), (i + 3, 0), (i, 3)]) for i in range(300)]
    shapes += [shapely.Point(i, 5 * i).buffer(4, quad_segs=1 + i % 6) for i in range(300)]
    objects = tuple(
        PathObject(uuid5(SPACE, f"bulk {i}"), ObjectType.DETECTION, make_roi(shape), TUMOR if i % 2 else None)
        for i, shape in enumerate(shapes)
    )
    data = QpData.create({})
    data.apply(HierarchyEdit(add_objects=objects))
    table = QpData.from_bytes(data.to_bytes()).cell_table()
    found = np.column_stack((table.centroids, table.class_index))
    expected = np.column_stack((shapely.get_coordinates(shapely.centroid(shapes)), np.arange(900) % 2 - 1))
    np.testing.assert_allclose(
        found[np.lexsort(np.rint(found.T))], expected[np.lexsort(np.rint(expected.T))], atol=1e-3
    )
    assert table.classes == (TUMOR,)
