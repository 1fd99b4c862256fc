"""A small project with everything that a person makes, and what a project holds, in a form that can be compared."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import shapely

import her2qp
from her2qp.qupath.classes import PathClass, pack_rgb
from her2qp.qupath.classlist import CLASS_LIST, parse_class_list
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import ImageType, ObjectType, PathObject, Roi, RoiKind, TileTable
from her2qp.qupath.projectfile import ProjectFile, entry_id_of

_NAMES = UUID(int=3)
_RUN = re.compile(r"\d{4,}-\d{8}T\d{6}Z")
_RUN_MEASUREMENT = "HER2 run"
_TUMOR, _STROMA = PathClass(("Tumor",), pack_rgb(200, 0, 0)), PathClass(("Stroma",), pack_rgb(150, 200, 150))
_IMMUNE = PathClass(("Immune cells", "Positive"), pack_rgb(160, 90, 160))


def make_study(folder: Path) -> Path:
    """Make the project, with two images of one small artificial slide, in `folder`; returns the project's folder."""
    from her2qp.slides.artificial import make_artificial_slide

    folder.mkdir(parents=True, exist_ok=True)
    slide = make_artificial_slide(folder / "slide ä.svs", her2_level=2, size=(2048, 2048), seed=7)
    second = folder / "second.svs"
    shutil.copyfile(slide.path, second)
    with her2qp.create_project(folder / "project") as project:
        for path, metadata in ((slide.path, {"patient": "P-1", "HER2 status": "known to the ward"}), (second, {})):
            entry = project.add_image(
                path, size=slide.size, mpp=(0.25, 0.25), image_type=ImageType.BRIGHTFIELD_H_E, metadata=metadata
            )
            entry.edit(
                HierarchyEdit(add_objects=tuple(_objects(path.name)), add_tiles=_tiles_of_another_tool(path.name))
            )
        project.path_classes = (*project.path_classes, PathClass(("Mine",), pack_rgb(1, 2, 3)))
        project.save()
    write_geojson(folder / "objects.geojson")
    shutil.rmtree(folder / "project" / "her2qp")
    return folder / "project"


def _objects(image: str) -> list[PathObject]:
    """Nested annotations with measurements, points, a cell with a nucleus: what people and other tools make."""

    def make(name: str, kind: RoiKind, shape: shapely.Geometry, **more: Any) -> PathObject:
        fields: dict[str, Any] = {"type": ObjectType.ANNOTATION, "name": name, **more}
        return PathObject(id=uuid5(_NAMES, f"{image} {name}"), roi=Roi(kind, shape), **fields)

    tumor = make("Herd Ö", RoiKind.RECTANGLE, shapely.box(100, 100, 1900, 1900), path_class=_TUMOR, locked=True)
    tumor = _with(tumor, measurements={"Ki-67 %": 12.5, "unknown": float("nan")})
    inner = make("in it", RoiKind.ELLIPSE, _ellipse(600, 600, 900, 800), path_class=_STROMA, parent=tumor.id)
    points = make("count", RoiKind.POINTS, shapely.MultiPoint([(5, 5), (9, 7)]))
    cell = make(
        "cell",
        RoiKind.POLYGON,
        shapely.Point(700, 700).buffer(9, 3),
        type=ObjectType.CELL,
        path_class=_IMMUNE,
        nucleus=Roi(RoiKind.POLYGON, shapely.Point(700, 700).buffer(4, 3)),
        measurements={"Nucleus: Area": 50.0},
        parent=inner.id,
    )
    return [tumor, inner, points, cell]


def _with(obj: PathObject, **changes: Any) -> PathObject:
    import dataclasses

    return dataclasses.replace(obj, **changes)


def _ellipse(x0: float, y0: float, x1: float, y1: float) -> shapely.Geometry:
    circle = shapely.Point(0, 0).buffer(1, 32)
    return shapely.affinity.translate(
        shapely.affinity.scale(circle, (x1 - x0) / 2, (y1 - y0) / 2), (x0 + x1) / 2, (y0 + y1) / 2
    )


def _tiles_of_another_tool(image: str, n: int = 20) -> TileTable:
    x = np.arange(n) * 20.0
    return TileTable(
        ids=np.frombuffer(b"".join(uuid5(_NAMES, f"{image} tile {i}").bytes for i in range(n)), np.uint8).reshape(
            n, 16
        ),
        bounds=np.column_stack([x, x * 0, x + 20, x * 0 + 20]),
        classes=(_STROMA,),
        class_index=np.zeros(n, np.int32),
        names=("density",),
        values=np.linspace(0, 1, n, dtype=np.float32).reshape(n, 1),
        parent_ids=(None,),
        parent_index=np.zeros(n, np.int32),
    )


def write_geojson(path: Path) -> None:
    """Objects to import."""
    features = [
        {
            "type": "Feature",
            "id": str(uuid5(_NAMES, f"imported {i}")),
            "geometry": {"type": "Polygon", "coordinates": [[[i, 0], [i + 50, 0], [i + 50, 50], [i, 0]]]},
            "properties": {"objectType": "annotation", "classification": {"name": "Necrosis", "color": [50, 50, 50]}},
        }
        for i in range(0, 500, 50)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")


@dataclass(frozen=True)
class State:
    """What a project holds.

    Parameters
    ----------
    objects, metadata
        By image id. Objects by their id, each as text; run numbers and times left out.
    classes
        The class list with colours.
    rest
        Everything else in the project file.
    """

    objects: dict[int, dict[str, str]]
    metadata: dict[int, dict[str, str]]
    classes: tuple[str, ...]
    rest: str

    def image(self, image_id: int) -> tuple[dict[str, str], dict[str, str]]:
        return self.objects[image_id], self.metadata[image_id]


def read_state(project: Path) -> State:
    """Read all of a project, each file to its end; raises where one cannot be."""
    file = ProjectFile.read(project / "project.qpproj")
    objects: dict[int, dict[str, str]] = {}
    metadata: dict[int, dict[str, str]] = {}
    for image in file.images:
        entry_id = entry_id_of(image)
        data = project / "data" / str(entry_id) / "data.qpdata"
        content = QpData.read(data)
        objects[entry_id] = {str(obj.id): _text(obj) for obj in content.objects()}
        assert len(objects[entry_id]) == sum(content.count().values()), "an object is there twice"
        metadata[entry_id] = {key: _RUN.sub("RUN", value) for key, value in image.pop("metadata").items()}
    listed = parse_class_list((project / CLASS_LIST).read_bytes(), where=project)
    return State(objects, metadata, tuple(f"{c} {c.color}" for c in listed), json.dumps(file.document, default=str))


def _text(obj: PathObject) -> str:
    measurements = {name: value for name, value in obj.measurements.items() if name != _RUN_MEASUREMENT}
    shapes = [
        None if roi is None else (roi.kind, roi.plane, shapely.to_wkb(roi.geometry).hex())
        for roi in (obj.roi, obj.nucleus)
    ]
    return repr(
        (obj.type, obj.path_class, obj.name, obj.color, obj.locked, obj.metadata, obj.parent, measurements, shapes)
    )


def files_of(project: Path) -> dict[str, bytes]:
    """Every file of a project but her2qp's own."""
    files = {p.relative_to(project).as_posix(): p for p in project.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith("her2qp/")}
