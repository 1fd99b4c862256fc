"""Opens projects that runs were killed in with a real QuPath, and compares what it reads with what we read.

Run: ``python tests/faults/harness.py --sample 1 --kinds kill --keep DIR``, then, with ``PAQUO_QUPATH_DIR`` set,
``python tests/faults/open_in_qupath.py DIR``. Nothing is repaired before: QuPath sees what the kill left.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import paquo.java as java

from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.projectfile import ProjectFile, entry_id_of, entry_metadata


def read_by_qupath(folder: Path) -> dict[int, tuple[dict[str, str], dict[str, str]]]:
    """By image id: class of each object by its id, and the metadata."""
    project = java.JClass("qupath.lib.projects.ProjectIO").loadProject(
        java.JClass("java.io.File")(str(folder / "project.qpproj")),
        java.JClass("java.awt.image.BufferedImage").class_,
    )
    found = {}
    for entry in project.getImageList():
        hierarchy = entry.readImageData().getHierarchy()
        objects = [obj for obj in hierarchy.getFlattenedObjectList(None) if not obj.isRootObject()]
        classes = {str(obj.getID()): str(obj.getPathClass() or "") for obj in objects}
        found[int(str(entry.getID()))] = classes, {str(k): str(v) for k, v in entry.getMetadataMap().items()}
    return found


def read_by_us(folder: Path) -> dict[int, tuple[dict[str, str], dict[str, str]]]:
    """The same as we read it."""
    found = {}
    for image in ProjectFile.read(folder / "project.qpproj").images:
        data = QpData.read(folder / "data" / str(entry_id_of(image)) / "data.qpdata")
        classes = {str(obj.id): str(obj.path_class or "") for obj in data.objects()}
        found[entry_id_of(image)] = classes, entry_metadata(image)
    return found


def main() -> int:
    """Parse the command line and open all projects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kept", type=Path, help="folder of projects that the harness kept")
    folders = [path for path in sorted(parser.parse_args().kept.iterdir()) if (path / "project.qpproj").exists()]
    java.LogManager.setWarn()
    java.JClass("qupath.lib.images.servers.openslide.jna.OpenSlideLoader").tryToLoadQuietly()
    differing: list[Any] = [folder for folder in folders if read_by_qupath(folder) != read_by_us(folder)]
    for folder in differing:
        print(f"PROBLEM: QuPath reads something else in {folder}")
    states = Counter(folder.name.rsplit("-", 1)[-1] for folder in folders)
    version = java.JClass("qupath.lib.common.GeneralTools").getVersion()
    print(f"QuPath {version} opened {len(folders)} projects ({dict(states)}), {len(differing)} of them with problems")
    return 1 if differing or not folders else 0


if __name__ == "__main__":
    sys.exit(main())
