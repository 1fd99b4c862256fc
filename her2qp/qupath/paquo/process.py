"""The process that runs QuPath, seen from our side: asked, waited for, and stopped when it hangs."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import IO, Any

from her2qp.errors import QuPathProcessError

DEFAULT_TIME_LIMIT_S = 900.0
WORKER = [sys.executable, "-m", "her2qp.qupath.paquo.worker"]
"""The command that starts it."""
_KEPT_LOG_BYTES = 16 * 1024


class QuPathProcess:
    """A Java virtual machine with QuPath's code in a child process, started when first asked.

    Parameters
    ----------
    time_limit_s
        How long one request may take, the start of Java included; ``HER2QP_QUPATH_TIME_LIMIT`` if None.
    command
        What to run; by default the worker of this package.
    """

    def __init__(self, *, time_limit_s: float | None = None, command: list[str] | None = None) -> None:
        limit = os.environ.get("HER2QP_QUPATH_TIME_LIMIT")
        self._time_limit_s = time_limit_s or float(limit or DEFAULT_TIME_LIMIT_S)
        self._command = command or WORKER
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: queue.Queue[bytes | None] = queue.Queue()
        self._log = _Tail()

    def request(self, message: dict[str, Any], *, where: str) -> dict[str, Any]:
        """Send a request and wait for its reply.

        Raises
        ------
        QuPathProcessError
            QuPath reported an exception, its process died, or it did not answer in time.
        """
        process = self._process or self._start()
        try:
            _pipe(process.stdin).write(json.dumps(message).encode() + b"\n")
            _pipe(process.stdin).flush()
            reply = self._replies.get(timeout=self._time_limit_s)
        except queue.Empty:
            self.close(gently=False)
            raise self._error(
                f"QuPath did not answer within {self._time_limit_s:g} s and was stopped",
                where,
                "Raise HER2QP_QUPATH_TIME_LIMIT (seconds), or use --backend native.",
            ) from None
        except OSError:
            reply = None
        if reply is None:
            status = self.close(gently=False)
            raise self._error(
                f"the process that runs QuPath ended by itself (exit status {status})",
                where,
                "If it ran out of memory, raise the heap with PAQUO_JAVA_OPTS=-Xmx8g, or use --backend native.",
            )
        answer: dict[str, Any] = json.loads(reply)
        if "error" in answer:
            raise self._error(f"QuPath reported: {answer['error']}", where, "Try --backend native.")
        return answer

    def close(self, *, gently: bool = True) -> int | None:
        """End the process; returns its exit status, None if it never ran."""
        process, self._process = self._process, None
        if process is None:
            return None
        _stop(process, patience_s=10.0 if gently else 0.5)
        return process.returncode

    def _start(self) -> subprocess.Popen[bytes]:
        package_root = str(Path(__file__).resolve().parents[3])
        search = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": search},
        )
        self._process, self._replies, self._log = process, queue.Queue(), _Tail()
        threading.Thread(target=_forward, args=(_pipe(process.stdout), self._replies), daemon=True).start()
        threading.Thread(target=self._log.follow, args=(_pipe(process.stderr),), daemon=True).start()
        weakref.finalize(self, _stop, process, patience_s=1.0)
        return process

    def _error(self, what: str, where: str, remedy: str) -> QuPathProcessError:
        log = self._log.last_line()
        return QuPathProcessError(f"{what} (last message: {log})" if log else what, where=where, remedy=remedy)


class _Tail:
    """The end of a stream that may be endless."""

    def __init__(self) -> None:
        self._kept = b""

    def follow(self, stream: IO[bytes]) -> None:
        while chunk := os.read(stream.fileno(), 8192):
            self._kept = (self._kept + chunk)[-_KEPT_LOG_BYTES:]

    def last_line(self) -> str:
        lines = self._kept.decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[:500] if lines else ""


def _forward(stream: IO[bytes], replies: queue.Queue[bytes | None]) -> None:
    for line in stream:
        replies.put(line)
    replies.put(None)


def _stop(process: subprocess.Popen[bytes], *, patience_s: float) -> None:
    """End a process: by closing its input, and if that does not help, by force."""
    try:
        _pipe(process.stdin).close()
    except OSError:  # it is gone already
        process.poll()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise QuPathProcessError("a process was started without pipes")
    return stream
