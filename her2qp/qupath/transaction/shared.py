"""Changes of the files that all images share, which can be made to, and taken back from, whatever such a file holds.

QuPath and other runs change the ``.qpproj`` and the class list at any time. So a run never writes back an old copy of
them: it says what it changes, and that is applied to the newest state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from her2qp.errors import ProjectChangedError
from her2qp.qupath.classes import PathClass
from her2qp.qupath.classlist import merge_class_list, parse_class_list
from her2qp.qupath.jsonfile import to_gson
from her2qp.qupath.projectfile import ProjectFile, entry_id_of, entry_metadata


class SharedChange(Protocol):
    """A change of one shared file."""

    def apply(self, data: bytes | None, path: Path) -> bytes | None:
        """Content of the file at `path` with the change made, from its content now; None means no file.

        Raises
        ------
        ProjectChangedError
            What is to be changed is gone.
        ProjectFormatError
            The file is not what it should be.
        """

    def revert(self, data: bytes | None, path: Path) -> bytes | None:
        """Content of the file with the change taken back; errors as for :meth:`apply`.

        Raises
        ------
        ProjectChangedError
            Somebody changed the same part since.
        """

    def to_json(self) -> dict[str, Any]:
        """The change as JSON, from which :func:`shared_change` makes it again."""


@dataclass(frozen=True, slots=True)
class MetadataChange:
    """A change of one image's metadata in the ``.qpproj``.

    Parameters
    ----------
    entry_id
        The image.
    before, after
        The keys that change with their values; a key that is missing on one side is added or dropped.
    image
        JSON of the image for which the change was made: it is not applied to one with another slide or pixel size.
    """

    entry_id: int
    before: Mapping[str, str]
    after: Mapping[str, str]
    image: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, image: Mapping[str, Any], after: Mapping[str, str]) -> MetadataChange:
        """The change that gives an image, whose JSON is `image`, all the metadata `after` and no other."""
        before = entry_metadata(image)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        old, new = ({key: value for key, value in side.items() if key in changed} for side in (before, after))
        return cls(entry_id_of(image), old, new, image)

    def apply(self, data: bytes | None, path: Path) -> bytes:
        """See :meth:`SharedChange.apply`."""
        file = _project_file(data, path)
        if self.image is not None:
            require_same_server(file, self.image)
        file.merge_metadata(self.entry_id, self.before, self.after)
        return file.to_bytes()

    def revert(self, data: bytes | None, path: Path) -> bytes:
        """See :meth:`SharedChange.revert`."""
        file = _project_file(data, path)
        present = entry_metadata(file.image(self.entry_id))
        for key in self.before.keys() | self.after.keys():
            if present.get(key) not in (self.after.get(key), self.before.get(key)):
                raise ProjectChangedError(
                    f"the metadata {key!r} of image {self.entry_id} was changed since", where=path
                )
        file.merge_metadata(self.entry_id, self.after, self.before)
        return file.to_bytes()

    def to_json(self) -> dict[str, Any]:
        """See :meth:`SharedChange.to_json`."""
        return {"image": self.entry_id, "before": dict(self.before), "after": dict(self.after)}


@dataclass(frozen=True, slots=True)
class ClassListChange:
    """A change of the class list.

    Parameters
    ----------
    before, after
        The whole list before and after.
    """

    before: tuple[PathClass, ...]
    after: tuple[PathClass, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes, not even a colour."""
        return [(c, c.color) for c in self.before] == [(c, c.color) for c in self.after]

    def apply(self, data: bytes | None, path: Path) -> bytes | None:
        """See :meth:`SharedChange.apply`."""
        return merge_class_list(data, self.before, self.after, where=path)

    def revert(self, data: bytes | None, path: Path) -> bytes | None:
        """See :meth:`SharedChange.revert`; a class that was recoloured since stays."""
        colors = {path_class: path_class.color for path_class in parse_class_list(data, where=path)}
        mine = tuple(c for c in self.after if c in self.before or colors.get(c) == c.color)
        return merge_class_list(data, mine, self.before, where=path)

    def to_json(self) -> dict[str, Any]:
        """See :meth:`SharedChange.to_json`."""
        return {
            "classes_before": [[str(c), c.color] for c in self.before],
            "classes_after": [[str(c), c.color] for c in self.after],
        }


def require_same_server(file: ProjectFile, image: Mapping[str, Any]) -> None:
    """Refuse a project file in which an image is shown in another way than its JSON `image` says.

    Raises
    ------
    ProjectChangedError
        The image has another slide, pixel size or server, or is gone.
    """
    present, known = (to_gson(one.get("serverBuilder")) for one in (file.image(entry_id_of(image)), image))
    if present != known:  # as text, in which a pixel size of NaN is itself
        raise ProjectChangedError(
            "the image was given another slide, pixel size or server since the project was read",
            where=f"image {image.get('imageName')!r}",
            remedy="Run again.",
        )


def shared_change(document: Mapping[str, Any]) -> SharedChange:
    """A change from what :meth:`SharedChange.to_json` gave.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        It is something else.
    """
    if "image" in document:
        before, after = ({str(k): str(v) for k, v in document[side].items()} for side in ("before", "after"))
        return MetadataChange(int(document["image"]), before, after)
    return ClassListChange(_classes(document["classes_before"]), _classes(document["classes_after"]))


def _classes(items: Any) -> tuple[PathClass, ...]:
    return tuple(PathClass.from_string(str(name), None if color is None else int(color)) for name, color in items)


def _project_file(data: bytes | None, path: Path) -> ProjectFile:
    if data is None:
        raise ProjectChangedError("the project file is gone", where=path)
    return ProjectFile.from_bytes(path, data)
