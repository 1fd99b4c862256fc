"""Whatever becomes of the process that runs QuPath, we say what happened and go on."""

from __future__ import annotations

import os
import sys
import time

import pytest

from her2qp.errors import QuPathProcessError
from her2qp.qupath.paquo.process import QuPathProcess


def _process(body: str, *, time_limit_s: float = 20.0) -> QuPathProcess:
    return QuPathProcess(time_limit_s=time_limit_s, command=[sys.executable, "-c", f"import sys, os, time\n{body}"])


_ECHO = """
for line in sys.stdin:
    print(line.strip(), flush=True)
"""


def test_requests_are_answered_in_turn_by_one_process() -> None:
    process = _process(_ECHO)
    try:
        assert [process.request({"n": n}, where="x") for n in range(3)] == [{"n": 0}, {"n": 1}, {"n": 2}]
    finally:
        assert process.close() == 0
    assert process.close() is None


def test_a_hanging_process_is_stopped_after_the_time_limit() -> None:
    process = _process("print('still loading', file=sys.stderr, flush=True)\ntime.sleep(600)", time_limit_s=1.0)
    started = time.monotonic()
    with pytest.raises(QuPathProcessError, match=r"image 'a': .*within 1 s.*still loading.*HER2QP_QUPATH_TIME_LIMIT"):
        process.request({}, where="image 'a'")
    assert time.monotonic() - started < 30


def test_a_dying_process_is_told_and_the_next_request_starts_another() -> None:
    process = _process("sys.stdin.readline()\nprint('OutOfMemoryError', file=sys.stderr, flush=True)\nos._exit(3)")
    for _ in range(2):
        with pytest.raises(QuPathProcessError, match=r"exit status 3.*PAQUO_JAVA_OPTS"):
            process.request({}, where="x")


def test_an_endless_log_fills_neither_memory_nor_the_pipe() -> None:
    process = _process(
        "sys.stdin.readline()\n"
        "for _ in range(2000): sys.stderr.write('x' * 10_000)\n"
        "sys.stderr.flush()\nprint('{}', flush=True)\nsys.stdin.readline()"
    )
    try:
        assert process.request({}, where="x") == {}
        assert len(process._log._kept) <= 16 * 1024
    finally:
        process.close()


def test_an_exception_of_qupath_is_passed_on() -> None:
    process = _process('sys.stdin.readline()\nprint(\'{"error": "java.io.IOException: no"}\', flush=True)')
    with pytest.raises(QuPathProcessError, match=r"QuPath reported: java\.io\.IOException: no"):
        process.request({}, where="x")
    process.close()


def test_a_process_that_is_forgotten_ends() -> None:
    process = _process(_ECHO + "\nos._exit(7)")
    process.request({}, where="x")
    child = process._process
    assert child is not None
    del process
    assert child.wait(10) == 7


def test_the_time_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HER2QP_QUPATH_TIME_LIMIT", "12.5")
    assert QuPathProcess()._time_limit_s == 12.5
