"""The store that lets QuPath's own code read and write."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import shapely

from her2qp.errors import InvalidEditError, QuPathProcessError, SlideNotFoundError
from her2qp.qupath.classlist import CLASS_LIST
from her2qp.qupath.edits import HierarchyEdit
from her2qp.qupath.hierarchy import Hierarchy
from her2qp.qupath.jsonfile import to_gson
from her2qp.qupath.native.qpdata import QpData
from her2qp.qupath.objects import ImageType, ObjectType, PathObject, Roi, RoiKind
from her2qp.qupath.paquo.process import QuPathProcess
from her2qp.qupath.paquo.staging import staging
from her2qp.qupath.projectfile import ProjectFile
from her2qp.qupath.serverbuilder import with_uris
from her2qp.qupath.store import ImageSource, StoreName
from her2qp.qupath.uris import file_uri


class PaquoStore:
    """Reads and writes through QuPath, in another process and on a copy of the image's data.

    QuPath never sees a file that does not parse to its end (it would take it for an empty image), never writes into
    the project itself, and never opens an image whose slide is missing (it would drop the edits).

    Parameters
    ----------
    process
        The process that runs QuPath; started when first needed.
    """

    name: StoreName = "paquo"
    geometry_tolerance = 0.02  # QuPath 0.6 and later round vertices to 0.01 px

    def __init__(self, process: QuPathProcess | None = None) -> None:
        self._process = process or QuPathProcess()

    def read(self, source: ImageSource, content: QpData) -> Hierarchy:
        """See :meth:`~her2qp.qupath.store.Store.read`; without the slide, which QuPath needs, `content` itself.

        Raises
        ------
        QuPathProcessError
            QuPath failed, or read other objects than the file holds.
        """
        if source.missing_slides or not source.data_file.exists():
            return content
        with self._rewritten(source, content, ()) as path:
            read = QpData.from_bytes(path.read_bytes())
        if read.ids() != content.ids() or read.count() != content.count():
            raise QuPathProcessError("QuPath read other objects than the file holds", where=source.data_file)
        return read

    def write(self, source: ImageSource, content: QpData, edits: Sequence[HierarchyEdit], destination: Path) -> None:
        """See :meth:`~her2qp.qupath.store.Store.write`.

        Raises
        ------
        SlideNotFoundError
            The slide is missing: QuPath would not save the image.
        QuPathProcessError
            QuPath failed.
        """
        if source.missing_slides:
            raise SlideNotFoundError(
                f"the slide file was not found ({', '.join(source.missing_slides)}), and QuPath saves no image without",
                where=f"image {source.name!r}",
                remedy="Put the slide where the project expects it, or use --backend native.",
            )
        with self._rewritten(source, content, edits) as path:
            shutil.copyfile(path, destination)

    def close(self) -> None:
        """End the process."""
        self._process.close()

    @contextlib.contextmanager
    def _rewritten(self, source: ImageSource, content: QpData, edits: Sequence[HierarchyEdit]) -> Iterator[Path]:
        """The data file as QuPath writes it after reading the present one and applying `edits`."""
        with staging() as folder:
            request = {
                "project": str(_stage(source, folder)),
                "destination": str(folder / "written.qpdata"),
                "data_file": str(source.data_file.absolute()),
                "entry_property": f"{source.project_file.absolute()}::{source.entry_id}",
                "ids": _ids_that_qupath_lacks(content),
                "edits": [_message(edit, content, folder / f"additions-{i}.qpdata") for i, edit in enumerate(edits)],
            }
            self._process.request(request, where=f"image {source.name!r}")
            yield folder / "written.qpdata"


def _stage(source: ImageSource, folder: Path) -> Path:
    """Make a project of this one image, with slides where they are now, from copies."""
    file = ProjectFile.create(folder / "project.qpproj", "0.5.1")
    builder = with_uris(source.image.get("serverBuilder"), lambda uri: file_uri(source.slides[uri]))
    metadata = source.image.get("metadata") or {}
    file.images.append({**source.image, "serverBuilder": builder, "metadata": metadata})
    file.document["lastID"] = source.entry_id
    file.path.write_bytes(to_gson(file.document))
    class_list = source.project_file.parent / CLASS_LIST
    (folder / CLASS_LIST).parent.mkdir()
    if class_list.is_file():
        shutil.copyfile(class_list, folder / CLASS_LIST)
    if source.data_file.is_file():
        copy = folder / "data" / str(source.entry_id) / "data.qpdata"
        copy.parent.mkdir(parents=True)
        shutil.copyfile(source.data_file, copy)
    return file.path


def _ids_that_qupath_lacks(content: QpData) -> list[str]:
    """Ids of all objects in order, where the file has none and QuPath would make new ones up."""
    return [] if content.stores_every_id else [str(obj.id) for obj in content.objects()]


def _message(edit: HierarchyEdit, content: QpData, additions: Path) -> dict[str, Any]:
    """An edit as JSON, what it adds in a file of its own."""
    added = {obj.id for obj in edit.add_objects}
    parents = {obj.parent for obj in edit.add_objects}
    if edit.add_tiles is not None:
        parents.update(edit.add_tiles.parent_ids)
    outside = sorted(parent for parent in parents - added if parent is not None)
    _check_ids(edit, content, outside)
    adds = bool(added) or (edit.add_tiles is not None and len(edit.add_tiles) > 0)
    if adds:
        additions.write_bytes(_additions(edit, outside))
    return {
        "remove": [str(obj_id) for obj_id in edit.remove],
        "drop": {str(obj_id): sorted(names) for obj_id, names in edit.drop_measurements.items()},
        "set": {str(obj_id): dict(values) for obj_id, values in edit.set_measurements.items()},
        "parents": [str(obj_id) for obj_id in outside] if adds else [],
        "additions": str(additions) if adds else None,
    }


def _check_ids(edit: HierarchyEdit, content: QpData, parents: list[UUID]) -> None:
    named = edit.remove | edit.drop_measurements.keys() | edit.set_measurements.keys() | set(parents)
    unknown = named - content.ids()
    if unknown:
        raise InvalidEditError("there is no such object", where=f"object {min(unknown)}")


def _additions(edit: HierarchyEdit, parents: list[UUID]) -> bytes:
    """Data file with what is added, under stand-ins for the objects that are there already."""
    spot = Roi(RoiKind.RECTANGLE, shapely.box(0, 0, 1, 1))
    stand_ins = tuple(PathObject(parent, ObjectType.ANNOTATION, spot) for parent in parents)
    holder = QpData.create({}, image_type=ImageType.UNSET)
    holder.apply(HierarchyEdit(add_objects=(*stand_ins, *edit.add_objects), add_tiles=edit.add_tiles))
    return holder.to_bytes()
