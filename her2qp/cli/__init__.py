"""The command line: verbs parse, call one function of :mod:`her2qp.api` and print."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the entry point of the ``her2qp`` program."""
    from her2qp.cli.verbs import app

    app()
