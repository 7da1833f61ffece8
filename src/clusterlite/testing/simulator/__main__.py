"""`python -m clusterlite.testing.simulator`: repeat one seed, or run new ones for a time."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time
from collections import Counter

from clusterlite.testing.simulator.run import Report, run


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit code is 1 where something promised did not hold."""
    parser = argparse.ArgumentParser(prog="python -m clusterlite.testing.simulator")
    parser.add_argument("--seed", type=int, default=None, help="the run, or the first of a soak")
    parser.add_argument("--operations", type=int, default=200, help="of each run")
    parser.add_argument("--soak", default="", help="run new seeds for so long: 90s, 10m, 2h")
    given = parser.parse_args(arguments)
    logging.getLogger("clusterlite").setLevel(logging.CRITICAL + 1)
    first = secrets.randbelow(10**9) if given.seed is None else given.seed
    until = time.monotonic() + _seconds(given.soak)
    begun, operations, seeds, red = time.monotonic(), 0, 0, 0
    sometimes: Counter[str] = Counter()
    while seeds == 0 or time.monotonic() < until:
        report = run(first + seeds, given.operations)
        seeds += 1
        operations += report.operations
        sometimes += report.sometimes
        red += bool(report.violations)
        _tell(report, given.operations)
    took_s = time.monotonic() - begun
    for name, count in sorted(sometimes.items()):
        print(f"{count:8} {name}")
    rate = operations / took_s
    print(
        f"seeds {seeds} from {first}, operations {operations}, {took_s:.1f} s, "
        f"{rate:.0f} operations/s, red {red}"
    )
    if seeds == 1:
        print(f"trace {report.digest}")
    return 1 if red else 0


def _tell(report: Report, operations: int) -> None:
    for violation in report.violations:
        print(f"seed {report.seed}: {violation}")
    if report.violations:
        again = f"--seed {report.seed} --operations {operations}"
        print(f"again: python -m clusterlite.testing.simulator {again}")


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600}
    return float(text[:-1]) * units[text[-1]] if text else 0.0


if __name__ == "__main__":
    sys.exit(main())
