"""Start-up time of ``her2qp --help`` and ``import her2qp``, against a Python that does nothing.

Usage: ``python benchmarks/startup.py [--runs 7]``. Each run is a process of its own; the median counts.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import her2qp": ["-c", "import her2qp"],
    "her2qp --help": ["-m", "her2qp", "--help"],
    "import torch, for comparison": ["-c", "import torch"],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)  # noqa: S603 - fixed words
    return time.perf_counter() - start


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(runs + 1):  # the first round warms the file cache and does not count
        for name, arguments in COMMANDS.items():
            elapsed = seconds(arguments)
            if number:
                times[name].append(elapsed)
    print("| process | median s |\n|---|---:|")
    for name, measured in times.items():
        print(f"| {name} | {statistics.median(measured):.2f} |")


if __name__ == "__main__":
    main()
