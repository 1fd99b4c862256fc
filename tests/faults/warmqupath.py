"""One QuPath for all points, since starting Java takes many times longer than a point.

The process that her2qp starts, talks to and loses is a small one that hands each request on to the one with Java. To
QuPath it makes no difference: every request brings a project of its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_RELAY = """
import socket, sys
with socket.socket(socket.AF_UNIX) as qupath:
    qupath.connect(sys.argv[1])
    stream = qupath.makefile("rwb")
    for request in sys.stdin.buffer:
        stream.write(request)
        stream.flush()
        sys.stdout.buffer.write(stream.readline())
        sys.stdout.buffer.flush()
"""
_STARTS_S = 120


@contextlib.contextmanager
def warm_qupath() -> Iterator[None]:
    """Let every run of this process, and of those forked from it, use one QuPath."""
    import her2qp.qupath.paquo.process as runs

    own, search = runs.WORKER, os.pathsep.join(sys.path)
    with tempfile.TemporaryDirectory(prefix="her2qp-") as folder:  # an address may be no longer than 100 characters
        address = Path(folder) / "qupath.socket"
        command = [sys.executable, __file__, str(address)]
        server = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": search}, stdout=subprocess.DEVNULL)
        try:
            _wait_for(address, server)
            runs.WORKER = [sys.executable, "-I", "-S", "-c", _RELAY, str(address)]
            yield
        finally:
            runs.WORKER = own
            server.kill()
            server.wait()


def _wait_for(address: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(_STARTS_S * 10):
        if address.exists():
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit("QuPath does not start")


def _serve(address: str) -> None:
    """Answer one client after the other; those that were killed are not missed."""
    from her2qp.qupath.paquo.worker import QuPathSession

    session = QuPathSession()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        while True:
            client, _ = server.accept()
            gone = contextlib.suppress(BrokenPipeError, ConnectionResetError)
            with gone, client, client.makefile("r", encoding="utf-8") as requests:
                for request in requests:
                    client.sendall(f"{session.answer(request)}\n".encode())


if __name__ == "__main__":
    _serve(sys.argv[1])
