"""The command line: verbs parse, call one function of :mod:`her2qp.api` and print."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run the command line; the entry point of the ``her2qp`` program."""
    from her2qp.cli.verbs import app

    for stream in (sys.stdout, sys.stderr):  # names from a project may hold what the terminal, or UTF-8, cannot say
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()
