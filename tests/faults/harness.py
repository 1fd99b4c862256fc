"""Interrupts runs of her2qp at every call that changes a project, and looks at what is left.

Run: ``python tests/faults/harness.py --long``, for every point on the native store, and on the paquo store too where
a QuPath is found. ``--sample N`` takes every N-th point. Prints a table; ``--json FILE`` keeps the figures.

Each point is a process forked from this one, which has loaded everything, that runs one verb of :mod:`her2qp` on a
fresh copy of a small project and is killed, or meets an error of the operating system, at one call. Then:

1. every file must parse to its end, and every image be as before or as after, and everything that a person made be in
   it (between two files of one change, what is found is counted as `mixed`);
2. the next run, of any verb, must leave no image mixed, and nothing of the interrupted one behind;
3. the interrupted verb, run again, must give what it gives when nothing interrupts it;
4. `undo`, until there is nothing to undo, must give back every byte from before.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path

for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_threads] = "1"  # a forked process must not need threads that it does not have
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from faults.figures import print_table, summarise  # noqa: E402
from faults.interposer import Call, Fault, Interposer  # noqa: E402
from faults.study import State, files_of, make_study, read_state  # noqa: E402
from faults.warmqupath import warm_qupath  # noqa: E402

import her2qp  # noqa: E402
from her2qp.errors import Her2qpError  # noqa: E402

NEXT_RUNS = ("again", "repair", "clear", "score", "import", "undo")
"""What a person may do next, in turn."""

_OURS = ("journal.json", "previous", ".her2qp-tmp")
_HANGS_S = 300


@dataclass(frozen=True)
class Ended:
    """How a run ended: ``done``, ``refused`` (with sentences), ``killed``, or ``broken``, which must never be."""

    how: str
    sentences: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


@dataclass(frozen=True)
class Verb:
    """A verb, and the project that it starts from and leads to."""

    name: str
    run: Callable[[Path], list[str]]
    start: Path
    goal: Path

    def states(self) -> tuple[State, State]:
        return read_state(self.start), read_state(self.goal)


@dataclass
class Point:
    """What became of one interruption."""

    verb: str
    store: str
    fault: str
    call: str
    ended: str
    found: str
    sentences: list[str]
    problems: list[str] = field(default_factory=list)


def in_child(work: Callable[[], list[str]], project: Path, fault: Fault | None = None, *, watch: bool = True) -> Ended:
    """Do something in a forked process, with a fault, and tell how it ended."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        _work_and_exit(work, project, fault, write_end, watch)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read()
    status = os.waitpid(child, 0)[1]
    if answer:
        how, sentences, calls = json.loads(answer)
        return Ended(how, sentences, [Call(*call) for call in calls])
    return Ended("killed" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == 9 else "broken", [f"status {status}"])


def _work_and_exit(
    work: Callable[[], list[str]], project: Path, fault: Fault | None, answer_to: int, watch: bool
) -> None:
    import logging
    import signal
    import traceback

    signal.alarm(_HANGS_S)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    logging.disable(logging.CRITICAL)
    interposer = Interposer(project, fault)
    if watch:
        interposer.install()
    try:
        sentences = work()
        ended = Ended("refused" if sentences else "done", sentences, interposer.calls)
    except Her2qpError as error:
        ended = Ended("refused", [f"{type(error).__name__}: {error}"], interposer.calls)
    except BaseException:  # noqa: BLE001 - to be reported by the parent
        ended = Ended("broken", [traceback.format_exc()], interposer.calls)
    if any("unexpected" in sentence for sentence in ended.sentences):
        ended = Ended("broken", ended.sentences, ended.calls)
    interposer.fault = None
    data = memoryview(json.dumps([ended.how, ended.sentences, [astuple(call) for call in ended.calls]]).encode())
    while data:
        data = data[os.write(answer_to, data) :]
    os._exit(0)


class Bench:
    """A folder to work in, the references, and the verbs.

    Parameters
    ----------
    folder
        To work in.
    store
        ``native`` or ``paquo``.
    """

    def __init__(self, folder: Path, store: str) -> None:
        self.folder, self.store = folder, store
        self.base = make_study(folder / "study")
        self._keep_the_model_loaded()
        self.actions: dict[str, Callable[[Path], list[str]]] = {
            "score": self._score,
            "clear": lambda project: [c.error for c in her2qp.clear(project, backend=store) if c.error],
            "undo": self._undo,
            "import": self._import,
            "repair": lambda project: [f.detail for f in her2qp.doctor(project, repair=True) if not f.ok],
        }
        self._score(self._copy(self.base, "warm"))  # computes and keeps the features, in this process
        scored = self._made("scored", self.base, "score")
        self.verbs = [
            Verb("score", self.actions["score"], self.base, scored),
            Verb("clear", self.actions["clear"], scored, self._made("cleared", scored, "clear")),
            Verb("undo", self.actions["undo"], scored, self._made("undone", scored, "undo")),
            Verb("import", self.actions["import"], self.base, self._made("imported", self.base, "import")),
        ]
        self.person_made = read_state(self.base)

    def _keep_the_model_loaded(self) -> None:
        import torch

        import her2qp.cli.verbs  # noqa: F401 - so that no child imports anything
        import her2qp.scoring.run as scoring

        torch.set_num_threads(1)
        loaded = scoring.load_scorer(scoring.ScoreSettings(runtime="eager"))
        scoring.load_scorer = lambda settings: loaded  # type: ignore[assignment]

    def _score(self, project: Path) -> list[str]:
        result = her2qp.score(project, backend=self.store)
        return [f"{o.name}: {o.reason}" for o in result.outcomes if not o.is_done]

    def _import(self, project: Path) -> list[str]:
        objects = self.folder / "study" / "objects.geojson"
        her2qp.import_objects(project, objects, image="second.svs", backend=self.store)  # type: ignore[arg-type]
        return []

    def _undo(self, project: Path) -> list[str]:
        her2qp.undo(project)
        return []

    def _copy(self, project: Path, name: str) -> Path:
        copy = self.folder / name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(project, copy, symlinks=True)
        return copy

    def _made(self, name: str, start: Path, verb: str) -> Path:
        project = self._copy(start, name)
        ended = in_child(lambda: self.actions[verb](project), project)
        if ended.how != "done":
            raise SystemExit(f"{verb} does not even run undisturbed: {ended.sentences}")
        return project

    def calls_of(self, verb: Verb) -> list[Call]:
        """Every call that the verb makes in a project."""
        project = self._copy(verb.start, "counted")
        return in_child(lambda: verb.run(project), project).calls

    def try_point(self, verb: Verb, fault: Fault, call: Call, number: int, keep: Path | None = None) -> Point:
        """Interrupt a verb at one call, and see what is left and what comes of it."""
        project = self._copy(verb.start, "point")
        ended = in_child(lambda: verb.run(project), project, fault)
        point = Point(verb.name, self.store, str(fault), str(call), ended.how, "", ended.sentences)
        if ended.how == "broken":
            point.problems.append(f"not a refusal: {ended.sentences}")
        old, new = verb.states()
        try:
            point.found = self.describe(read_state(project), old, new)
        except (Her2qpError, OSError, AssertionError, KeyError) as error:
            point.found = "unreadable"
            point.problems.append(f"unreadable: {error}")
        if point.found in ("lost", "unreadable"):
            point.problems.append(f"found {point.found}")
        if keep is not None and (point.found == "mixed" or number % 7 == 0):
            shutil.copytree(project, keep / f"{self.store}-{verb.name}-{number:04}-{point.found}")
        if ended.how != "done":
            point.problems += self._next_run(verb, project, NEXT_RUNS[number % len(NEXT_RUNS)], fault)
        point.problems += self._again_and_back(verb, project, new)
        return point

    def describe(self, state: State, old: State, new: State) -> str:
        """``old``, ``new``, ``between`` (some images as before, the others as after), ``mixed`` or ``lost``."""
        sides: list[set[str]] = []
        for image in old.objects:
            halves = [
                {name for name, one in (("old", old), ("new", new)) if part(state) == part(one)}
                for part in (lambda s, i=image: s.objects[i], lambda s, i=image: s.metadata[i])
            ]
            if not all(halves):
                return "lost"
            sides.append(halves[0] & halves[1])
        classes = {name for name, one in (("old", old), ("new", new)) if state.classes == one.classes}
        if not classes or state.rest != old.rest:
            return "lost"
        if not all(sides) or self._inconsistent(state):
            return "mixed"
        whole = set.intersection(classes, *sides)
        return "old" if "old" in whole else "new" if "new" in whole else "between"

    def _inconsistent(self, state: State) -> list[str]:
        """What in a project does not fit together, whatever was done to it."""
        problems: list[str] = []
        for image, made in self.person_made.objects.items():
            present, metadata = state.image(image)
            if lost := [obj for obj in made if obj not in present]:
                problems.append(f"lost {len(lost)} objects of image {image}")
            tiles = [text for text in present.values() if "'HER2 attention'" in text]
            if bool(tiles) != ("HER2 run" in metadata):
                problems.append(
                    f"image {image} has {len(tiles)} tiles and {'' if tiles else 'yet '}metadata {metadata}"
                )
            listed = {text.rsplit(" ", 1)[0] for text in state.classes}
            used = {f"HER2 {grade}" for grade in ("0", "1+", "2+", "3+") if any(f"'HER2 {grade}'" in t for t in tiles)}
            if used - listed:
                problems.append(f"classes {used - listed} are used and not listed")
            if any(metadata.get(key) != value for key, value in self.person_made.metadata[image].items()):
                problems.append(f"lost metadata of image {image}")
        return problems

    def _next_run(self, verb: Verb, project: Path, name: str, fault: Fault) -> Iterator[str]:
        copy = self._copy(project, "next")
        action = verb.run if name == "again" else self.actions[name]
        ended = in_child(lambda: action(copy), copy, watch=False)
        nothing_to_undo = "undo" in (name, verb.name) and any("no run to undo" in s for s in ended.sentences)
        if ended.how != "done" and not nothing_to_undo:
            yield f"next run ({name}) {ended.how}: {ended.sentences}"
        yield from (f"after the next run ({name}): {problem}" for problem in self._inconsistent(read_state(copy)))
        if name in ("repair", "score", "clear") and fault.error is None:
            yield from (f"left behind after the next run ({name}): {left}" for left in left_behind(copy))

    def _again_and_back(self, verb: Verb, project: Path, new: State) -> Iterator[str]:
        ended = in_child(lambda: verb.run(project), project, watch=False)
        done_before = verb.name == "undo" and any("no run to undo" in s for s in ended.sentences)
        if ended.how != "done" and not done_before:
            yield f"run again it is {ended.how}: {ended.sentences}"
        if read_state(project) != new:
            yield "run again it gives something else"
        for _ in range(5):
            ended = in_child(lambda: self.actions["undo"](project), project, watch=False)
            if ended.how != "done":
                break
        if not any("no run to undo" in sentence for sentence in ended.sentences):
            yield f"undo: {ended.how} {ended.sentences}"
        if files_of(project) != files_of(self.base):
            yield "undo does not give back what was there"
        in_child(lambda: self.actions["repair"](project), project, watch=False)
        yield from (f"left behind: {left}" for left in left_behind(project))


def left_behind(project: Path) -> list[str]:
    """What of an interrupted run is still there."""
    return sorted(
        path.relative_to(project).as_posix()
        for path in project.rglob("*")
        if path.name.endswith(_OURS) or path.name.endswith(".tmp")
    )


def faults_of(calls: Sequence[Call], kinds: Sequence[str]) -> Iterator[tuple[Fault, Call]]:
    """Every fault of the given kinds at every call where it can happen."""
    for at, call in enumerate(calls):
        if call.changes and "kill" in kinds:
            yield Fault(at), call
        for name, number in (("ENOSPC", errno.ENOSPC), ("EIO", errno.EIO), ("EACCES", errno.EACCES)):
            if name in kinds and (call.changes or name == "EIO"):
                yield Fault(at, number), call
            if f"{name}+" in kinds and call.changes:
                yield Fault(at, number, lasts=True), call


def run(
    folder: Path, store: str, every: int, kinds: Sequence[str], verbs: Sequence[str], keep: Path | None
) -> list[Point]:
    """Try every `every`-th point of the verbs on one store."""
    bench = Bench(folder, store)
    points: list[Point] = []
    for verb in bench.verbs:
        if verb.name not in verbs:
            continue
        chosen = list(faults_of(bench.calls_of(verb), kinds))[:: max(1, every)]
        began = time.monotonic()
        for number, (fault, call) in enumerate(chosen):
            point = bench.try_point(verb, fault, call, number, keep)
            points.append(point)
            for problem in point.problems:
                print(f"PROBLEM {store} {verb.name} [{fault} at {call}] found {point.found}: {problem}", flush=True)
        print(
            f"{store} {verb.name}: {len(chosen)} points in {time.monotonic() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return points


@contextlib.contextmanager
def _place(kept: Path | None) -> Iterator[Path]:
    """Where to work: beside what is kept, because that points to the slides of the study, else nowhere for long."""
    if kept is not None:
        yield kept / "work"
    else:
        with tempfile.TemporaryDirectory(prefix="her2qp-faults-") as name:
            yield Path(name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="every point, and the paquo store where a QuPath is found")
    parser.add_argument("--sample", type=int, default=25, help="take every N-th point [default: 25]")
    parser.add_argument("--stores", nargs="+", default=None)
    parser.add_argument("--kinds", nargs="+", default=["kill", "ENOSPC", "ENOSPC+", "EIO", "EIO+", "EACCES"])
    parser.add_argument("--verbs", nargs="+", default=["score", "clear", "undo", "import"])
    parser.add_argument("--json", type=Path, help="where to keep the figures")
    parser.add_argument("--keep", type=Path, help="where to keep every mixed project and every seventh other one")
    options = parser.parse_args()
    stores = options.stores or (
        ["native", "paquo"] if options.long and os.environ.get("PAQUO_QUPATH_DIR") else ["native"]
    )
    points: list[Point] = []
    if options.keep is not None:
        options.keep.mkdir(parents=True)
    with _place(options.keep) as name:
        os.environ.setdefault("HER2QP_CACHE", str(name / "cache"))
        for store in stores:
            every = 1 if options.long else options.sample
            with warm_qupath() if store == "paquo" else contextlib.nullcontext():
                points += run(name / store, store, every, options.kinds, options.verbs, options.keep)
    groups = summarise(points)
    print_table(groups)
    if options.json is not None:
        machine = {"date": time.strftime("%Y-%m-%d"), "system": platform.platform(), "cores": os.cpu_count()}
        problems = [asdict(point) for point in points if point.problems]
        options.json.write_text(json.dumps({**machine, "groups": groups, "problems": problems}, indent=1) + "\n")
    return 1 if any(point.problems for point in points) else 0


if __name__ == "__main__":
    raise SystemExit(main())
