"""How errors leave the program: one sentence on stderr, an exit code, never a traceback for bad input."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from her2qp.cli.console import say
from her2qp.errors import Her2qpError

UNUSABLE_INPUT = 2
INTERRUPTED = 130
_INTERRUPTED = "Interrupted. What was finished is saved; `her2qp undo` puts back the state before."


@contextmanager
def guarded(*, as_json: bool = False, interrupted: str = _INTERRUPTED) -> Iterator[None]:
    """Turn expected errors, and those of the operating system about a file, into one sentence and exit code 2.

    Parameters
    ----------
    as_json
        Also print ``{"error": ...}`` on stdout, so that a reader of ``--json`` always gets one document.
    interrupted
        What to say when the user stops the program.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    warnings.simplefilter("ignore")
    try:
        yield
    except Her2qpError as error:
        _leave(str(error), type(error).__name__, as_json)
    except BrokenPipeError:  # `her2qp inspect | head`
        raise
    except OSError as error:
        is_output = error.filename is None
        where = "the output" if is_output else error.filename
        _leave(f"{where}: {error.strerror or error}", type(error).__name__, as_json and not is_output)
    except KeyboardInterrupt:
        say(interrupted, err=True)
        raise typer.Exit(INTERRUPTED) from None
    except ValueError as error:
        sentence = _settings_error(error)
        if sentence is None:
            raise
        _leave(sentence, "SettingsError", as_json)


def _settings_error(error: ValueError) -> str | None:
    """Return what pydantic found wrong with the options, in a sentence; None for any other error."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return None
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())


def _leave(sentence: str, kind: str, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"error": sentence, "type": kind})
    say(f"her2qp: {sentence}", err=True)
    raise typer.Exit(UNUSABLE_INPUT) from None


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
