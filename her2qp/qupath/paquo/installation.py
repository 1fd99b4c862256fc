"""Finding an installed QuPath without starting Java."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from her2qp.errors import QuPathNotFoundError
from her2qp.qupath.version import version_key

OLDEST_SUPPORTED = (0, 5)
"""Older versions lack what the store calls; their projects are read all the same."""

_CORE_JAR = re.compile(r"qupath-core-(\d+\.\d+.*)\.jar")
_HOW_TO_GET = "Install QuPath, set PAQUO_QUPATH_DIR to its folder, or use --backend native, which needs none."


@dataclass(frozen=True, slots=True)
class QuPathInstallation:
    """An installed QuPath.

    Parameters
    ----------
    app_folder
        Folder of its jar files.
    version
        As its jar files are named; None if they do not say.
    """

    app_folder: Path
    version: str | None

    @property
    def is_supported(self) -> bool:
        """Whether her2qp can run it."""
        return self.version is None or version_key(self.version) >= OLDEST_SUPPORTED

    def is_older_than(self, project_version: str | None) -> bool:
        """Whether a project was written by a later minor version, whose files this QuPath may not understand."""
        if self.version is None or project_version is None:
            return False
        return version_key(self.version)[:2] < version_key(project_version)[:2]


def find_installation() -> QuPathInstallation:
    """The QuPath that paquo would start: ``PAQUO_QUPATH_DIR``, ``.paquo.toml``, conda or the usual folders.

    Raises
    ------
    QuPathNotFoundError
        There is none, or the configured folder does not hold one.
    """
    # paquo has no public function that looks without starting the virtual machine
    from paquo._config import settings, to_kwargs
    from paquo.jpype_backend import find_qupath

    settings.reload()
    options = to_kwargs(settings)
    try:
        app_folder = Path(find_qupath(**options).app_dir)
    except (ValueError, OSError) as error:
        folder = options.get("qupath_dir") or None
        what = "no QuPath was found" if folder is None else "this folder holds no QuPath that can be started"
        raise QuPathNotFoundError(what, where=folder, remedy=_HOW_TO_GET) from error
    names = (_CORE_JAR.fullmatch(jar.name) for jar in sorted(app_folder.glob("qupath-core-*.jar")))
    return QuPathInstallation(app_folder, next((match[1] for match in names if match and match[1][0].isdigit()), None))
