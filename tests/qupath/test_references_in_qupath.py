"""What QuPath keeps beside the hierarchy, a TMA grid and the connections of a triangulation, follows our edits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from qupath.native.samples import tile_table

from her2qp.qupath import open_project
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.objects import ObjectType

CMU = "CMU-1-Small-Region.svs"

QUPATH = """
import json, sys
import paquo.java as java
from jpype import JImplements, JOverride
java.LogManager.setWarn()
java.JClass("qupath.lib.images.servers.openslide.jna.OpenSlideLoader").tryToLoadQuietly()
from paquo.projects import QuPathProject
objects = "qupath.lib.objects."
Objects, Group, Connections = (
    java.JClass(objects + name) for name in ("PathObjects", "DefaultPathObjectConnectionGroup", "PathObjectConnections")
)
ArrayList, KEY = java.JClass("java.util.ArrayList"), "OBJECT_CONNECTIONS"

@JImplements(objects + "PathObjectConnectionGroup")
class Neighbours:
    '''Every detection is connected with its neighbours in a Delaunay triangulation.'''
    def __init__(self, detections):
        self.detections = detections
        tools = java.JClass("qupath.lib.analysis.DelaunayTools")
        self.triangulation = tools.createFromCentroids(detections, False)
    @JOverride
    def containsObject(self, obj): return self.detections.contains(obj)
    @JOverride
    def getPathObjects(self): return self.detections
    @JOverride
    def getConnectedObjects(self, obj): return self.triangulation.getNeighbors(obj)
    @JOverride
    def getPathObjectsForRegion(self, region): return self.detections

def core(row, column):
    core = Objects.createTMACoreObject(300.0 + 700 * column, 300.0 + 700 * row, 600.0, 600.0, row == column == 1)
    core.setName("AB"[row] + "-" + str(column + 1))
    roi = java.JClass("qupath.lib.roi.ROIs")
    plane = java.JClass("qupath.lib.regions.ImagePlane").getDefaultPlane()
    for number in range(4):
        box = roi.createRectangleROI(400.0 + 700 * column + 31 * number, 411.0 + 700 * row + number**2, 9.0, 9.0, plane)
        core.addChildObject(Objects.createDetectionObject(box))
    return core

def prepare(data):
    hierarchy = data.getHierarchy()
    cores = ArrayList([core(row, column) for row in range(2) for column in range(2)])
    hierarchy.setTMAGrid(java.JClass("qupath.lib.objects.hierarchy.DefaultTMAGrid").create(cores, 2))
    connections = Connections()
    connections.addGroup(Group(Neighbours(ArrayList(hierarchy.getDetectionObjects()))))
    data.setProperty(KEY, connections)

def describe(data):
    hierarchy = data.getHierarchy()
    present = java.JClass("java.util.HashSet")(hierarchy.getFlattenedObjectList(None))
    grid, connections = hierarchy.getTMAGrid(), data.getProperty(KEY)
    groups = [] if connections is None else list(connections.getConnectionGroups())
    ids = lambda items: sorted(str(item.getID()) for item in items)
    return {
        "cores": [[str(c.getName()), bool(c.isMissing()), bool(present.contains(c))] for c in grid.getTMACoreList()],
        "width": int(grid.getGridWidth()),
        "connections": {str(o.getID()): ids(g.getConnectedObjects(o)) for g in groups for o in g.getPathObjects()},
        "strangers": [str(o.getID()) for g in groups for one in g.getPathObjects()
                      for o in (one, *g.getConnectedObjects(one)) if not present.contains(o)],
        "objects": {str(o.getID()): str(o.getParent().getName() or "") for o in present if not o.isRootObject()},
    }

with QuPathProject(sys.argv[2], mode="r+") as project:
    project.update_image_paths(try_relative=True)
    (entry,) = [image.java_object for image in project.images if image.image_name.startswith("CMU")]
    data = entry.readImageData()
    if sys.argv[1] == "prepare":
        prepare(data)
        entry.saveImageData(data)
        project.java_object.syncChanges()
    with open(sys.argv[3], "w") as out:
        json.dump(describe(data), out)
"""


def in_qupath(action: str, project: Path) -> dict[str, Any]:
    """What QuPath holds beside the hierarchy of the real slide; made there first if asked to prepare."""
    answer = project.parent / "answer.json"
    subprocess.run(
        [sys.executable, "-c", QUPATH, action, str(project), str(answer)],
        stdout=subprocess.DEVNULL, timeout=300, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def ids_of(table: Any) -> frozenset[UUID]:
    return frozenset(UUID(bytes=row.tobytes()) for row in table.ids)


@pytest.mark.qupath
@pytest.mark.long
@pytest.mark.usefixtures("qupath_dir")
@pytest.mark.parametrize("golden", ["0.5.1"], indirect=True)
@pytest.mark.parametrize("backend", ["native", "paquo"])
def test_grid_and_connections_follow_our_tiles(golden: Path, backend: str) -> None:
    project = golden / "project"
    ours = tile_table(60, seed=1, gaps=True)
    with open_project(project, "r+", "native") as opened:
        opened.image(CMU).edit(HierarchyEdit(add_tiles=ours))
        opened.save()
    before = in_qupath("prepare", project)
    gone = {str(one) for one in ids_of(ours)}
    assert gone < before["connections"].keys()
    assert [name for name, _, _ in before["cores"]] == ["A-1", "A-2", "B-1", "B-2"]

    with open_project(project, "r+", backend) as opened:
        image = opened.image(CMU)
        first, second = (core.id for core in image.tma_cores[:2])
        under_cores = tile_table(40, (first, second), seed=2)
        image.edit(HierarchyEdit(remove=ids_of(ours), add_tiles=under_cores))
        opened.save()
    after = in_qupath("describe", project)
    assert after["strangers"] == []
    assert after["cores"] == before["cores"] == [[name, name == "B-2", True] for name, _, _ in before["cores"]]
    assert after["width"] == 2
    assert after["connections"] == {
        one: [other for other in others if other not in gone]
        for one, others in before["connections"].items()
        if one not in gone
    }
    added = {str(one) for one in ids_of(under_cores)}
    assert after["objects"].keys() == before["objects"].keys() - gone | added
    assert {after["objects"][one] for one in added} == {"A-1", "A-2"}

    with open_project(project, "r+", backend) as opened:
        image = opened.image(CMU)
        assert image.hierarchy.count()[ObjectType.TMA_CORE] == 4
        image.edit(HierarchyEdit(remove=ids_of(under_cores)))
        opened.save()
    cleared = in_qupath("describe", project)
    assert (cleared["cores"], cleared["connections"]) == (after["cores"], after["connections"])
    assert cleared["objects"].keys() == before["objects"].keys() - gone
