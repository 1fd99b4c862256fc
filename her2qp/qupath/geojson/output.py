"""Text files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TextIO, cast

from her2qp.errors import ProjectAccessError
from her2qp.qupath.transaction.disk import access_errors, flush_file, replace, temporary_for

_COMPRESSION_LEVEL = 5


@contextlib.contextmanager
def text_output(target: str | Path | TextIO) -> Iterator[TextIO]:
    """A text file to write to: an open one as it is, or one that takes its place only when all is written.

    Parameters
    ----------
    target
        A name ending in ``.gz`` makes the file compressed (the same bytes for the same text).

    Raises
    ------
    ProjectAccessError
        The file cannot be written; nothing of it is left.
    """
    if not isinstance(target, str | Path):
        yield target
        return
    path = Path(target)
    if path.is_dir():
        raise ProjectAccessError("a folder, not a file", where=path)
    temporary = temporary_for(path)
    try:
        with access_errors(path):
            with temporary.open("wb") as raw, _text(raw, compressed=path.suffix.lower() == ".gz") as text:
                yield text
            flush_file(temporary)
            replace(temporary, path)
    except FileNotFoundError as error:
        raise ProjectAccessError("its folder does not exist", where=path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _text(raw: IO[bytes], *, compressed: bool) -> Iterator[TextIO]:
    with contextlib.ExitStack() as stack:
        data = raw
        if compressed:
            data = cast(
                "IO[bytes]", stack.enter_context(gzip.GzipFile("", "wb", _COMPRESSION_LEVEL, fileobj=raw, mtime=0))
            )
        # half a surrogate pair, which UTF-8 cannot say, becomes the escape that JSON has for it
        yield stack.enter_context(io.TextIOWrapper(data, encoding="utf-8", errors="backslashreplace", newline=""))
