"""The process that runs QuPath: reads requests, lets QuPath's own code do them, replies.

Requests and replies are lines of JSON on standard input and output. Objects travel as ``data.qpdata`` files, which
QuPath reads and writes in bulk, never one by one through the bridge between Python and Java. QuPath prints its log to
standard output, so that is sent where errors go before Java starts.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from typing import Any

_COMPILED_ONCE = "-XX:TieredStopAtLevel=1"
"""Java compiles QuPath's code once, quickly. It would take longer to do it better than most runs take as it is: this
halves the processor time for 50,000 tiles, and changes little for 250,000. An option of the user's own comes later, and
counts."""

_ENTRY_ID_PROPERTY = "PROJECT_ENTRY_ID"

_CONNECTIONS_PROPERTY = "OBJECT_CONNECTIONS"
"""Where QuPath keeps which detections a triangulation connected."""


class QuPathSession:
    """QuPath's classes in the virtual machine of this process."""

    def __init__(self) -> None:
        _start_java()
        import paquo.java as java

        java.LogManager.setWarn()
        self._class = java.JClass
        self._load_openslide()

    def _load_openslide(self) -> None:
        """QuPath 0.5 does not load OpenSlide by itself without its user interface, and would take another reader."""
        try:
            loader = self._class("qupath.lib.images.servers.openslide.jna.OpenSlideLoader")
        except TypeError:  # no such class in this QuPath
            return
        loader.tryToLoadQuietly()

    def answer(self, request: str) -> str:
        """Do what a line of JSON asks for, and say as another whether QuPath could."""
        try:
            return json.dumps(self.rewrite(json.loads(request)))
        except self._class("java.lang.Throwable") as error:
            return json.dumps({"error": str(error)})

    def rewrite(self, request: dict[str, Any]) -> dict[str, Any]:
        """Open the one image of a project, edit its objects, and write what QuPath would save."""
        file, path_io = self._class("java.io.File"), self._class("qupath.lib.io.PathIO")
        buffered_image = self._class("java.awt.image.BufferedImage")
        project = self._class("qupath.lib.projects.ProjectIO").loadProject(file(request["project"]), buffered_image)
        image_data = project.getImageList().get(0).readImageData()
        try:
            hierarchy = image_data.getHierarchy()
            self._set_ids(hierarchy, request["ids"])
            for edit in request["edits"]:
                self._disconnect(image_data, self._apply(hierarchy, edit))
                hierarchy.fireHierarchyChangedEvent(hierarchy)
            # what QuPath would have recorded, had it worked on the project itself
            image_data.setProperty(_ENTRY_ID_PROPERTY, self._class("java.lang.String")(request["entry_property"]))
            image_data.setLastSavedPath(request["data_file"], True)
            path_io.writeImageData(file(request["destination"]), image_data)
        finally:
            if hasattr(image_data, "close"):
                image_data.close()
            else:
                image_data.getServer().close()
        return {"written": request["destination"]}

    def _set_ids(self, hierarchy: Any, ids: list[str]) -> None:
        """Give objects of a file without ids those by which her2qp knows them; QuPath made up others."""
        if ids:
            for obj, obj_id in zip(_descendants(hierarchy.getRootObject()), ids, strict=True):
                obj.setID(self._uuid(obj_id))

    def _apply(self, hierarchy: Any, edit: dict[str, Any]) -> Any:
        """Apply an edit; returns the set of the objects that it removed."""
        named = [*edit["remove"], *edit["drop"], *edit["set"], *edit["parents"]]
        ids = self._class("java.util.ArrayList")(len(named))
        for obj_id in named:
            ids.add(self._uuid(obj_id))
        tools = self._class("qupath.lib.objects.PathObjectTools")
        found = tools.findByUUID(ids, hierarchy.getFlattenedObjectList(None))
        for obj_id, names in edit["drop"].items():
            found.get(self._uuid(obj_id)).getMeasurementList().removeMeasurements(*names)
        for obj_id, measurements in edit["set"].items():
            values = found.get(self._uuid(obj_id)).getMeasurementList()
            for name, value in measurements.items():
                values.put(name, float(value))
        removed = self._remove([found.get(self._uuid(obj_id)) for obj_id in edit["remove"]])
        if edit["additions"] is not None:
            self._add(hierarchy.getRootObject(), found, edit)
        return removed

    def _remove(self, objects: list[Any]) -> Any:
        """Remove objects, and return their set; their other children move up to the nearest ancestor that stays."""
        removed = self._class("java.util.HashSet")(len(objects))
        for obj in objects:
            removed.add(obj)
        orphans: dict[Any, Any] = {}
        children: dict[Any, Any] = {}
        for obj in objects:
            parent = obj.getParent()
            children.setdefault(parent, self._class("java.util.ArrayList")()).add(obj)
            if obj.hasChildObjects():
                while removed.contains(parent):
                    parent = parent.getParent()
                kept = orphans.setdefault(parent, self._class("java.util.ArrayList")())
                kept.addAll([child for child in obj.getChildObjectsAsArray() if not removed.contains(child)])
        for parent, kept in orphans.items():
            parent.addChildObjects(kept)
        for parent, gone in children.items():
            parent.removeChildObjects(gone)
        return removed

    def _disconnect(self, image_data: Any, removed: Any) -> None:
        """Let a triangulation forget removed objects, which QuPath would save with it for ever."""
        connections = image_data.getProperty(_CONNECTIONS_PROPERTY)
        for group in [] if connections is None or removed.isEmpty() else connections.getConnectionGroups():
            members = group.getPathObjects()  # not a copy, like the lists of those that are connected with them
            if not self._class("java.util.Collections").disjoint(members, removed):
                members.removeAll(removed)
                for member in members:
                    group.getConnectedObjects(member).removeAll(removed)

    def _add(self, root: Any, found: Any, edit: dict[str, Any]) -> None:
        """Move the objects of another file in: those under a stand-in to the object that it stands for."""
        additions = self._class("qupath.lib.io.PathIO").readHierarchy(self._class("java.io.File")(edit["additions"]))
        new = self._list(additions.getRootObject().getChildObjects())
        ids = self._list([self._uuid(obj_id) for obj_id in edit["parents"]])
        stand_ins = self._class("qupath.lib.objects.PathObjectTools").findByUUID(ids, new)
        for obj_id in ids:
            found.get(obj_id).addChildObjects(self._list(stand_ins.get(obj_id).getChildObjects()))
        new.removeAll(self._class("java.util.HashSet")(stand_ins.values()))
        root.addChildObjects(new)

    def _list(self, items: Any) -> Any:
        return self._class("java.util.ArrayList")(items)

    def _uuid(self, text: str) -> Any:
        return self._class("java.util.UUID").fromString(text)


def _start_java() -> None:
    """Start the virtual machine as importing paquo's classes would, with an option more than its settings hold."""
    from paquo._config import settings, to_kwargs
    from paquo.jpype_backend import start_jvm

    options = to_kwargs(settings)
    own = options["java_opts"]
    options["java_opts"] = [_COMPILED_ONCE, *(shlex.split(own) if isinstance(own, str) else own)]
    start_jvm(finder_kwargs=options)


def _descendants(root: Any) -> Iterator[Any]:
    """Every object below `root`, parents before children, in order."""
    pending = list(root.getChildObjectsAsArray())[::-1]
    while pending:
        obj = pending.pop()
        yield obj
        pending.extend(list(obj.getChildObjectsAsArray())[::-1])


def main() -> None:
    """Serve requests until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    session: QuPathSession | None = None
    for line in sys.stdin:
        session = session or QuPathSession()
        replies.write(session.answer(line) + "\n")
        replies.flush()
    os._exit(0)  # QuPath leaves threads behind that would keep Java running


if __name__ == "__main__":
    main()
