"""Where text is printed: names out of a file are shown as they are, and never obeyed by the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable

import rich.console
import typer
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Console(rich.console.Console):
    """A console that shows control characters in what it prints as ``�``.

    Without it, the name of an image in a crafted project could move the cursor or retitle the window.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, with the control characters of texts replaced; those of the console's own style stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def table_console(columns: int = 140) -> Console:
    """Stdout as wide as the terminal; of so many columns where it is a file or a pipe."""
    return Console(width=None if Console().is_terminal else columns)


def say(text: str, *, err: bool = False) -> None:
    """Print a line on stdout or stderr."""
    typer.echo(visible(text), err=err)


def visible(text: str) -> str:
    """A text whose control characters, but for line breaks and tabs, are shown instead of obeyed."""
    return _CONTROL.sub("\ufffd", text)
