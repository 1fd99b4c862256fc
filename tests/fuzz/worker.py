"""A process that runs cases under limits, and its other end, which notices when the process dies or hangs."""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import os
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType, TracebackType

SECONDS = 2.0
"""Processor time that a case may take."""

MEGABYTES = 500
"""Memory that a case may take beyond what the process has."""

_HANGING_S = 60.0
_READ, _BUGS = "read", ("untyped", "slow", "memory", "wrong", "crash")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended.

    Parameters
    ----------
    label
        ``read``, the name of a typed error, or what kind of bug it is.
    detail
        The error's text, or the traceback of a bug.
    seconds, megabytes
        Processor time, and peak of resident memory above that of before.
    """

    label: str
    detail: str
    seconds: float
    megabytes: float

    @property
    def is_bug(self) -> bool:
        """Whether the reader broke its promise."""
        return self.label in _BUGS


class TooSlow(BaseException):
    """Raised in a case that takes too long; nothing between here and there catches it."""


class Bench:
    """Runs cases in this process."""

    def __init__(self, folder: Path) -> None:
        from fuzz.cases import KINDS
        from fuzz.corpus import load_corpus

        self._folder = folder
        self._corpus = load_corpus()
        for kind in KINDS:  # what a first case takes is not its own: imports, and memory that stays
            self.run(kind, -1)

    def run(self, kind: str, number: int) -> Outcome:
        """Run one case."""
        from fuzz.cases import KINDS, Case

        file = Case(kind, number).make(self._corpus)
        gc.collect(0)
        before, started = _start_counting(), time.process_time()
        label, detail = self._try(KINDS[kind].use, file)
        return Outcome(label, detail, time.process_time() - started, _peak_megabytes() - before)

    def _try(self, use: object, file: object) -> tuple[str, str]:
        from her2qp.errors import Her2qpError

        try:
            with _limits():
                use(file, self._folder)  # type: ignore[operator]
        except Her2qpError as error:
            return type(error).__name__, str(error)
        except TooSlow:
            return "slow", traceback.format_exc()
        except MemoryError:
            return "memory", traceback.format_exc()
        except AssertionError:
            return "wrong", traceback.format_exc()
        except Exception:  # noqa: BLE001 - to find those is the purpose
            return "untyped", traceback.format_exc()
        return _READ, ""


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Stop what takes too long, and let allocations fail that are too large."""
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEGABYTES * 2**20, unlimited[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, unlimited)


def _stop(signal_number: int, frame: FrameType | None) -> None:
    raise TooSlow


def _start_counting() -> float:
    """Let the peak of the resident memory begin anew; returns the present one in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_megabytes()


def _peak_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _serve(pipe: Connection) -> None:
    """Run the cases that come through a pipe until it is closed."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(EOFError):
        bench = Bench(Path(folder))
        pipe.send(None)
        while True:
            for case in pipe.recv():
                pipe.send(bench.run(*case))


class Worker:
    """A process that runs cases; a new one takes the place of one that died or hung. A context manager."""

    def __enter__(self) -> Worker:
        # One thread each: several would make the processor time of a case depend on the machine.
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(10)
        self._process.kill()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(end,), daemon=True)
        self._process.start()
        end.close()
        self._pipe.recv()

    def run(self, cases: Sequence[tuple[str, int]]) -> Iterator[Outcome]:
        """Run cases, kind and number of each; a death of the process is the outcome of the one that it died of."""
        done = 0
        while done < len(cases):
            self._pipe.send(cases[done:])
            try:
                while done < len(cases):
                    outcome = self._receive()
                    done += 1
                    yield outcome
            except (EOFError, OSError) as error:
                done += 1
                yield self._bury(error)

    def _receive(self) -> Outcome:
        if not self._pipe.poll(_HANGING_S):
            raise OSError(f"no answer after {_HANGING_S:.0f} s")
        outcome: Outcome = self._pipe.recv()
        return outcome

    def _bury(self, error: Exception) -> Outcome:
        self._process.kill()
        self._process.join()
        how = f"{error or 'the process died'} (exit code {self._process.exitcode})"
        self._pipe.close()
        self._start()
        return Outcome("crash", how, 0.0, 0.0)
