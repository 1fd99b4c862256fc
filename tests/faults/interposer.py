"""Interrupts a process at the n-th of its calls to the operating system that concern one folder, or to QuPath.

Files are opened by Python's own pure Python implementation of ``open``, so that everything that reaches a file passes
through a function of :mod:`os`, and each of those is wrapped. ``test_nothing_is_missed.py`` proves it against strace.
"""

# pathlib calls what is wrapped here, so it is not used
# ruff: noqa: PTH100, PTH118, PTH119, PTH120

from __future__ import annotations

import _pyio
import builtins
import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from her2qp.qupath.paquo.process import QuPathProcess

QUPATH = "QuPath"
"""Stands for the process that runs QuPath where calls name a file."""

_BY_PATH = ("mkdir", "rmdir", "unlink", "remove", "truncate", "chmod", "utime", "symlink", "mkfifo")
_BY_DESCRIPTOR = ("write", "pwrite", "writev", "fsync", "fdatasync", "ftruncate", "fchmod", "posix_fallocate")
_FROM_TO = ("rename", "replace", "link")
_COPYING = ("sendfile", "copy_file_range")
_NEED_SPACE = {"open", "mkdir", "symlink", "mkfifo", "link", *_BY_DESCRIPTOR, *_COPYING}
_CHANGING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Call:
    """One call: its name, the file relative to the folder, and whether it can change anything."""

    name: str
    path: str
    changes: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.path}"


@dataclass(frozen=True)
class Fault:
    """What happens at call number `at` (from 0): an error number, or death where there is none.

    A lasting fault goes on: a full disk refuses whatever needs space, a dead one everything.
    """

    at: int
    error: int | None = None
    lasts: bool = False

    def __str__(self) -> str:
        if self.error is None:
            return "kill"
        return f"{errno.errorcode[self.error]}{' from then on' if self.lasts else ''}"

    def strikes(self, number: int, call: Call) -> bool:
        if number == self.at:
            return True
        if not self.lasts or number < self.at or self.error is None:
            return False
        if self.error == errno.ENOSPC:
            return call.changes and call.name in _NEED_SPACE
        return call.changes or self.error == errno.EIO


class Interposer:
    """Counts the calls of this process that concern `folder`, and lets `fault` happen; for good, so in a fork only."""

    def __init__(self, folder: os.PathLike[str], fault: Fault | None = None) -> None:
        self.folder = os.path.realpath(folder)
        self.fault = fault
        self.calls: list[Call] = []
        self.open_files: dict[int, str] = {}

    def install(self) -> None:
        original_close = os.close
        os.open = self._wrap_open(os.open)  # type: ignore[assignment]
        os.close = self._wrap_close(original_close)  # type: ignore[assignment]
        for names, wrap in (
            (_BY_PATH, self._wrap_path),
            (_BY_DESCRIPTOR, self._wrap_descriptor),
            (_FROM_TO, self._wrap_from_to),
            (_COPYING, self._wrap_copying),
        ):
            for name in names:
                if hasattr(os, name):
                    setattr(os, name, wrap(name, getattr(os, name)))
        builtins.open = io.open = _pyio.open  # type: ignore[assignment]
        QuPathProcess.request = self._wrap_request(QuPathProcess.request)  # type: ignore[method-assign]

    def point(self, name: str, path: str, *, changes: bool = True, half: Callable[[], object] | None = None) -> None:
        """Count a call that is about to be made, and let the fault happen instead; `half` does a part of it first."""
        call = Call(name, path, changes)
        number = len(self.calls)
        self.calls.append(call)
        if self.fault is None or not self.fault.strikes(number, call):
            return
        if half is not None and number == self.fault.at and self.fault.error in (None, errno.ENOSPC):
            half()
        self._strike(path)

    def _strike(self, path: str) -> NoReturn:
        error = None if self.fault is None else self.fault.error
        if error is None:
            os.kill(os.getpid(), signal.SIGKILL)
            raise SystemExit
        raise OSError(error, os.strerror(error), path)

    def _relative(self, path: Any, dir_fd: int | None = None) -> str | None:
        """Path relative to the folder, None for one elsewhere."""
        if isinstance(path, int):
            return self.open_files.get(path)
        text = os.fsdecode(path)
        if dir_fd is not None:
            base = self.open_files.get(dir_fd)
            return None if base is None else os.path.join(base, text)
        full = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(text))), os.path.basename(text))
        return (
            os.path.relpath(full, self.folder) if full.startswith(self.folder + os.sep) or full == self.folder else None
        )

    def _wrap_open(self, function: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            relative = self._relative(path, dir_fd)
            if relative is not None:
                self.point("open", relative, changes=bool(flags & _CHANGING_FLAGS))
            descriptor = function(path, flags, mode, dir_fd=dir_fd)
            if relative is not None:
                self.open_files[descriptor] = relative
            return descriptor

        return call

    def _wrap_request(self, function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        def call(process: QuPathProcess, message: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            try:
                self.point("request", QUPATH)
            except OSError:  # what errors there are on the way is that Java dies
                process._command = [sys.executable, "-c", "import os; os.abort()"]
                process.close(gently=False)
            answer = function(process, message, **kwargs)
            with contextlib.suppress(OSError):
                self.point("answer", QUPATH)
            return answer

        return call

    def _wrap_close(self, function: Callable[[int], None]) -> Callable[[int], None]:
        def call(descriptor: int) -> None:
            self.open_files.pop(descriptor, None)
            function(descriptor)

        return call

    def _wrap_path(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            relative = self._relative(path, kwargs.get("dir_fd"))
            if relative is not None:
                self.point(name, relative)
            return function(path, *args, **kwargs)

        return call

    def _wrap_descriptor(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: int, *args: Any) -> Any:
            relative = self.open_files.get(descriptor)
            if relative is not None:
                half = None
                if name == "write":
                    data = bytes(args[0])

                    def half() -> object:
                        return function(descriptor, data[: len(data) // 2])

                self.point(name, relative, half=half)
            return function(descriptor, *args)

        return call

    def _wrap_from_to(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(source: Any, target: Any, **kwargs: Any) -> Any:
            relative = self._relative(target, kwargs.get("dst_dir_fd")) or self._relative(
                source, kwargs.get("src_dir_fd")
            )
            if relative is not None:
                self.point(name, relative)
            return function(source, target, **kwargs)

        return call

    def _wrap_copying(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: int, second: int, *args: Any, **kwargs: Any) -> Any:
            target = first if name == "sendfile" else second
            relative = self.open_files.get(target)
            if relative is not None:
                half = None
                if name == "sendfile":

                    def half() -> object:
                        return function(first, second, args[0], 64)

                self.point(name, relative, half=half)
            return function(first, second, *args, **kwargs)

        return call
