"""Training the models of a run side by side, each in a process of its own.

The matrices of a slide model are small: more threads hardly make one model faster, while several models keep as many
cores busy. A process is told what to train through a pipe, and tells back what a monitor wants to know; the model
itself goes through its folder, as that of an interrupted run does.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait

from her2qp.errors import Her2qpError, TrainingError
from her2qp.machine import free_memory, processors
from her2qp.training.checkpoint import Epoch
from her2qp.training.data import LabelledBags
from her2qp.training.member import Assignment, train_member
from her2qp.training.monitor import Monitor

WORTHWHILE = 200_000
"""Tiles that a model reads in its training, at least, for a process of its own to save more than its start costs."""

_PROCESS_BYTES = 6e8
"""What Python, PyTorch and scikit-learn take."""
_STEP_RATIO = 4
"""How much larger a training step is than the features in it, all in all."""


def count_workers(asked: int | None, assignments: Sequence[Assignment], data: LabelledBags) -> int:
    """How many processes are to train these models.

    Parameters
    ----------
    asked
        At most so many. None: one for each core, as long as there is memory; on a GPU one, and one where there is so
        little to train that a process of its own does not pay.
    assignments
        Models with the same settings.
    data
        What they learn from.
    """
    left, settings = sum(not assignment.is_finished for assignment in assignments), assignments[0].fit
    if asked is None:
        tiles = [len(bag) for bag in data.bags]
        step = sum(sorted(tiles)[-settings.batch_size :]) * data.features.dimension * 4 * _STEP_RATIO
        small = sum(tiles) * settings.epochs < WORTHWHILE
        fitting = min(processors() // settings.threads, free_memory() / (_PROCESS_BYTES + step))
        asked = 1 if settings.device != "cpu" or small else int(fitting)
    return max(1, min(left, asked))


def train_members(assignments: Sequence[Assignment], data: LabelledBags, workers: int, monitor: Monitor) -> None:
    """Train models, one after another in this process, or side by side; which of the two changes no result.

    Parameters
    ----------
    assignments
        What to train.
    data
        What their splits are splits of. Every process gets a copy, but for features that are in files.
    workers
        How many processes, not more than there are models to train.
    monitor
        Is told of every epoch.

    Raises
    ------
    ModelError, TrainingError
        As for :func:`her2qp.training.member.train_member`, or a process was ended from outside.
    """
    monitor.models_to_train(len(assignments))
    here = [assignment for assignment in assignments if workers == 1 or assignment.is_finished]
    for assignment in here:
        train_member(assignment, data, monitor)
    if len(here) < len(assignments):
        _train_side_by_side([each for each in assignments if each not in here], data, workers, monitor)


def _train_side_by_side(assignments: Sequence[Assignment], data: LabelledBags, workers: int, monitor: Monitor) -> None:
    waiting = deque(assignments)
    with _crew(workers) as crew:
        for worker in crew:
            worker.send(data)
        idle, busy = crew, list[_Worker]()
        while waiting or busy:
            while idle and waiting:
                worker = idle.pop()
                worker.take_on(waiting.popleft())
                busy.append(worker)
            ready = wait([worker.connection for worker in busy])
            for worker in [each for each in busy if each.connection in ready]:
                if worker.listen(monitor):
                    busy.remove(worker)
                    idle.append(worker)


@contextmanager
def _crew(workers: int) -> Iterator[list[_Worker]]:
    """Processes that are ended at the end, whatever happens."""
    crew: list[_Worker] = []
    try:
        for _ in range(workers):
            crew.append(_Worker())
        yield list(crew)
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """A process that trains, seen from the one that gives it work."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._assignment: Assignment | None = None
        with _uninterrupted():
            self._process.start()
        theirs.close()  # so that this end is told when the process ends

    def take_on(self, assignment: Assignment) -> None:
        """Have it train a model."""
        self._assignment = assignment
        self.send(assignment)

    def send(self, message: LabelledBags | Assignment) -> None:
        """Tell it something."""
        try:
            self.connection.send(message)
        except OSError as error:
            raise self._lost() from error

    def listen(self, monitor: Monitor) -> bool:
        """Pass on what it has to tell; returns whether its model is finished."""
        try:
            told: tuple[str, tuple[object, ...]] | Her2qpError | None = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if isinstance(told, Her2qpError):
            raise told
        if told is not None:
            event, facts = told
            getattr(monitor, event)(*facts)
        return told is None

    def end(self) -> None:
        """End it, in the middle of an epoch if need be: the state of the one before is kept."""
        self._process.terminate()
        self._process.join()
        self.connection.close()

    def _lost(self) -> TrainingError:
        self._process.join()
        code, assignment = self._process.exitcode or 0, self._assignment
        return TrainingError(
            f"the process that trained {'models' if assignment is None else assignment.name} was ended "
            + (f"(signal {-code})" if code < 0 else f"(exit code {code})"),
            where=None if assignment is None else assignment.folder,
            remedy="If memory ran out, take fewer workers; what was finished is kept."
            if code < 0
            else 'A script of your own has to train under `if __name__ == "__main__":`, or with one worker.',
        )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: it is for the one that started them to end them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Messenger(Monitor):
    """Tells the other process what a monitor is told."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def model_started(self, name: str, epochs: int) -> None:
        self._connection.send(("model_started", (name, epochs)))

    def epoch_done(self, name: str, epoch: Epoch) -> None:
        self._connection.send(("epoch_done", (name, epoch)))

    def model_finished(self, name: str, summary: str) -> None:
        self._connection.send(("model_finished", (name, summary)))


def _work(connection: Connection) -> None:
    """Train what comes through the pipe, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):  # nobody is there any more
        data, monitor = connection.recv(), _Messenger(connection)
        while True:
            assignment = connection.recv()
            try:
                train_member(assignment, data, monitor)
            except Her2qpError as error:
                connection.send(error)
            else:
                connection.send(None)


def _end_with_parent() -> None:
    """End this process at once when the one that started it is gone: nobody would know of what it goes on to write."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
