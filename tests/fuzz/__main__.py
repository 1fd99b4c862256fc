"""Damage files by the hundred thousand and see that every reader refuses them or reads them: ``make fuzz``."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from fuzz.cases import KINDS, Case, spread
from fuzz.worker import Outcome, Worker

LONG, SHORT = 102_000, 2_000
_PROCESSES = 2
_AT_ONCE = 200
_MOST_BUGS_SHOWN = 30


@dataclass(slots=True)
class Tally:
    """What came of the cases of one kind."""

    labels: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    megabytes: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        self.labels[outcome.label] += 1
        self.seconds = max(self.seconds, outcome.seconds)
        self.megabytes = max(self.megabytes, outcome.megabytes)


def fuzz(cases: Sequence[Case], processes: int = _PROCESSES) -> tuple[dict[str, Tally], list[tuple[Case, Outcome]]]:
    """Run cases in several processes; returns what came of each kind, and the bugs."""
    waiting: SimpleQueue[list[Case]] = SimpleQueue()
    for start in range(0, len(cases), _AT_ONCE):
        waiting.put(cases[start : start + _AT_ONCE])
    tallies = {kind: Tally() for kind in KINDS}
    bugs: list[tuple[Case, Outcome]] = []

    def work(_: int) -> None:
        with Worker() as worker:
            while True:
                try:
                    batch = waiting.get_nowait()
                except Empty:
                    return
                for case, outcome in zip(batch, worker.run([(c.kind, c.number) for c in batch]), strict=True):
                    tallies[case.kind].add(outcome)
                    if outcome.is_bug:
                        bugs.append((case, outcome))
                        sys.stderr.write(f"{case}: {outcome.label}\n")

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(work, range(processes)))
    return tallies, bugs


def as_table(tallies: dict[str, Tally]) -> str:
    """A table of Markdown, one row a kind."""
    rows = ["| file | cases | read | refused by | slowest, s | most memory, MB |", "|---|---|---|---|---|---|"]
    for kind, tally in tallies.items():
        errors = ", ".join(f"{name} {count:,}" for name, count in tally.labels.most_common() if name != "read")
        cells = kind, f"{tally.labels.total():,}", f"{tally.labels['read']:,}", errors
        rows.append(f"| {' | '.join(cells)} | {tally.seconds:.2f} | {tally.megabytes:.0f} |")
    return "\n".join(rows)


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help=f"run {LONG:,} cases instead of {SHORT:,}")
    parser.add_argument("--cases", type=int, help="run so many")
    parser.add_argument("--first", type=int, default=0, help="number of the first case of each kind; 0 by default")
    parser.add_argument("--kind", choices=KINDS, help="this kind only")
    parser.add_argument("--case", metavar="KIND:NUMBER", help="run this one and say what happens")
    options = parser.parse_args()
    if options.case:
        kind, _, number = options.case.partition(":")
        cases = [Case(kind, int(number))]
    else:
        cases = spread(options.cases or (LONG if options.long else SHORT), options.first)
        cases = [case for case in cases if options.kind in (None, case.kind)]
    started = time.monotonic()
    tallies, bugs = fuzz(cases, min(_PROCESSES, len(cases)))
    sys.stdout.write(f"{as_table(tallies)}\n\n{len(cases):,} cases, {time.monotonic() - started:.0f} s\n")
    for case, outcome in bugs[:_MOST_BUGS_SHOWN]:
        sys.stdout.write(f"\n--- {case}: {outcome.label}, {outcome.seconds:.2f} s, {outcome.megabytes:.0f} MB\n")
        sys.stdout.write(outcome.detail)
    sys.stdout.write(f"{len(bugs)} bugs\n")
    return 1 if bugs else 0


if __name__ == "__main__":
    sys.exit(main())
