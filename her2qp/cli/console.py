"""Where tables are printed."""

from __future__ import annotations

from rich.console import Console


def table_console(columns: int = 140) -> Console:
    """Stdout as wide as the terminal; of so many columns where it is a file or a pipe."""
    return Console(width=None if Console().is_terminal else columns)
